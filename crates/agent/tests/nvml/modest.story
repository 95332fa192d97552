# A small card: little is supported, its fan answers only to the second question.
driver 550.90.07
gpus 1
set 0 name NVIDIA GeForce RTX 4080
set 0 uuid GPU-modest
set 0 bus_id 00000000:01:00.0
set 0 util 3
set 0 util_memory 1
set 0 temperature 38
set 0 power UNKNOWN
set 0 fan.0 NOT_SUPPORTED
on nvmlDeviceGetFanSpeed_v2 2 set 0 fan.0 31
set 0 field.94 u32:4
set 0 field.3 NO_PERMISSION
