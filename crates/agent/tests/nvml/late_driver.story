# The library is there before the driver is.
include h100.story
init DRIVER_NOT_LOADED
on nvmlInit_v2 2 init SUCCESS
