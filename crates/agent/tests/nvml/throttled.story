# The second GPU runs into its power cap in round 3, the third overheats in round 4.
include h100.story
on nvmlDeviceGetCount_v2 4 set 1 reasons 0x4
on nvmlDeviceGetCount_v2 4 set 1 power 700012
on nvmlDeviceGetCount_v2 4 set 1 clock.1 1410
on nvmlDeviceGetCount_v2 4 set 1 violation.0 4120000000
on nvmlDeviceGetCount_v2 4 set 1 field.74 u64:4120000000
on nvmlDeviceGetCount_v2 5 set 2 reasons 0x68
on nvmlDeviceGetCount_v2 5 set 2 temperature 91
on nvmlDeviceGetCount_v2 5 set 2 field.82 u32:104
on nvmlDeviceGetCount_v2 5 set 2 clock.1 705
on nvmlDeviceGetCount_v2 5 set 2 violation.1 900000000
on nvmlDeviceGetCount_v2 5 set 2 field.251 u64:900000000
on nvmlDeviceGetCount_v2 5 set 2 field.252 u64:400000000
