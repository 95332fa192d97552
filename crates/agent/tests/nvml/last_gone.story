# The last GPU is lost in round 2; from round 3 the driver enumerates seven. In round 5 all eight are
# back. (Each reopening counts the GPUs once more: round 3 makes calls 4, 5 and 6.)
include h100.story
on nvmlDeviceGetCount_v2 3 set 7 every GPU_IS_LOST
on nvmlDeviceGetCount_v2 4 count 7
on nvmlDeviceGetCount_v2 8 set 7 every SUCCESS
on nvmlDeviceGetCount_v2 8 count 8
