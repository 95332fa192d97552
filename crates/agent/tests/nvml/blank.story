# Everything that stands for "no value", by call and by field.
driver 570.124.06
gpus 1
set 0 name NVIDIA H100 80GB HBM3
set 0 uuid GPU-blank
set 0 bus_id 00000000:01:00.0
set 0 util 0xFFFFFFFF
set 0 util_memory 7
set 0 memory_total 0x7ffffffffffffff2
set 0 memory_reserved 0x7ffffffffffffff0
set 0 memory_free 0xFFFFFFFFFFFFFFFF
set 0 memory_used 1048576
set 0 power 0x7ffffff0
set 0 energy 9223372036854775794
set 0 temperature 0x7ffffff2
set 0 clock.1 0xFFFFFFFF
set 0 pstate 32
set 0 violation.0 0x7ffffffffffffff3
set 0 field.3 u64:9223372036854775794
set 0 field.4 i64:9223372036854775792
set 0 field.5 i64:-1
set 0 field.6 u64:3
set 0 field.82 u32:0x7ffffff1
set 0 field.94 u32:0xFFFFFFFF
set 0 field.142 f64:140737488355330.0
set 0 field.143 f64:nan
set 0 field.144 f64:1
