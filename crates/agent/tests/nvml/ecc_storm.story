# The memory of GPU 5 fails: errors that are corrected, then some that are not, then a row that waits
# for a reset to be remapped, and one that cannot be.
include h100.story
on nvmlDeviceGetCount_v2 4 set 5 field.3 u64:5120
on nvmlDeviceGetCount_v2 4 set 5 field.5 u64:5125
on nvmlDeviceGetCount_v2 4 xid 5 92
on nvmlDeviceGetCount_v2 5 set 5 field.4 u64:2
on nvmlDeviceGetCount_v2 5 set 5 field.6 u64:2
on nvmlDeviceGetCount_v2 5 set 5 field.143 u32:1
on nvmlDeviceGetCount_v2 5 set 5 field.144 u32:1
on nvmlDeviceGetCount_v2 5 set 5 field.230 u32:1
on nvmlDeviceGetCount_v2 5 xid 5 48
on nvmlDeviceGetCount_v2 5 xid 5 63
on nvmlDeviceGetCount_v2 5 xid 5 94
on nvmlDeviceGetCount_v2 5 xid 5 94
on nvmlDeviceGetCount_v2 6 set 5 field.145 u32:1
on nvmlDeviceGetCount_v2 6 xid 5 95
on nvmlDeviceGetCount_v2 6 xid 5 64
on nvmlDeviceGetCount_v2 6 xid 5 999
on nvmlDeviceGetCount_v2 6 xid 5 4711
