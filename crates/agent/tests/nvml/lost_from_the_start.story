# GPU 2 was gone before anybody looked. It is back in round 2, which nobody can know before the library
# is opened anew.
include h100.story
set 2 every GPU_IS_LOST
on nvmlDeviceGetCount_v2 3 set 2 every SUCCESS
