# GPU 3 falls off the bus in round 2 and says so by XID 79. The driver goes on to count it.
include h100.story
on nvmlDeviceGetCount_v2 3 set 3 every GPU_IS_LOST
on nvmlDeviceGetCount_v2 3 xid 3 79
on nvmlDeviceGetCount_v2 6 set 3 every SUCCESS
