# GPU 0 is cut into two instances, GPU 1 has MIG on but no instance, the others have it off.
include h100.story
set 0 mig 1
set 0 mig_max 7
set 0 gpm NOT_SUPPORTED
set 0.0 uuid MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000
set 0.0 name NVIDIA H100 80GB HBM3 MIG 1g.10gb
set 0.0 memory_total 10468982784
set 0.0 memory_reserved 0
set 0.0 memory_free 8468299776
set 0.0 memory_used 2000683008
set 0.2 uuid MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002
set 0.2 name NVIDIA H100 80GB HBM3 MIG 3g.40gb
set 0.2 memory_total 42144366592
set 0.2 memory_reserved 0
set 0.2 memory_free 42076209152
set 0.2 memory_used 68157440
set 1 mig 1
set 1 mig_max 7
