# The driver does not even come up.
include h100.story
hang nvmlInit_v2 release
