# From round 2 to round 3 every call on GPU 6 fails without a word why.
include h100.story
on nvmlDeviceGetCount_v2 3 set 6 every UNKNOWN
on nvmlDeviceGetCount_v2 5 set 6 every SUCCESS
