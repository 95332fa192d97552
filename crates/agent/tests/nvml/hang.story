# In round 2 the driver does not return from reading the power of the third GPU.
include h100.story
on nvmlDeviceGetPowerUsage 11 hang nvmlDeviceGetPowerUsage release
