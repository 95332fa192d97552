# A node with eight H100 that are at work and well. The values of a GPU are those that a real one
# gives; what an H100 does not support (retired pages, fan, the old NVLink counters) is not here.
driver 570.124.06
gpus 8
set * name NVIDIA H100 80GB HBM3
set * events 0x19
set * util 87
set * util_memory 41
set * util_enc 0
set * util_dec 0
set * memory_total 85520809984
set * memory_reserved 522190848
set * memory_free 12884901888
set * memory_used 72113717248
set * bar1_total 137438953472
set * bar1_free 137412739072
set * bar1_used 26214400
set * power 612345
set * power_limit 700000
set * power_default 700000
set * power_enforced 700000
set * power_min 200000
set * power_max 700000
set * energy 512345678901
set * temperature 54
set * threshold.0 92            # shutdown
set * threshold.1 89            # slowdown
set * clock.1 1980              # SM
set * clock.2 2619              # memory
set * clock_max.1 1980
set * clock_max.2 2619
set * pstate 0
set * reasons 0
set * violation.0 120000000     # power
set * violation.1 0             # thermal
set * violation.2 0             # sync boost
set * violation.3 0             # board limit
set * violation.4 0             # low utilisation
set * violation.5 0             # reliability
set * pcie_gen 5
set * pcie_width 16
set * pcie_gen_max 5
set * pcie_width_max 16
set * pcie.0 18000
set * pcie.1 23000
set * mig 0
set * processes 1
set * field.1 u32:1             # ECC is on
set * field.3 u64:2             # single-bit errors since the driver was loaded
set * field.4 u64:0             # double-bit
set * field.5 u64:7             # single-bit, of its life
set * field.6 u64:0
set * field.142 u32:0           # remapped rows: correctable
set * field.143 u32:0           # uncorrectable
set * field.144 u32:0           # pending
set * field.145 u32:0           # failure
set * field.82 u32:63           # memory temperature
set * field.94 u32:0            # PCIe replays
set * field.197 u64:987654321000
set * field.198 u64:123456789000
set * field.38 u64:0            # NVLink errors: flow control, data, replay, recovery
set * field.45 u64:0
set * field.52 u64:0
set * field.59 u64:0
set * field.91 u32:4            # NVLinks
set * link_up.0 1
set * link_up.1 1
set * link_up.2 1
set * link_up.3 1
set * field.230 u32:0           # recovery action
set * field.74 u64:120000000    # time at the power cap
set * field.76 u64:0
set * field.251 u64:0
set * field.252 u64:0
set * field.253 u64:0
set * gpm 1
set * gpm.1 86.5                # graphics engine
set * gpm.2 71.25               # SM
set * gpm.3 24
set * gpm.5 38.5                # tensor
set * gpm.10 44                 # DRAM
set * gpm.11 0
set * gpm.12 3
set * gpm.13 1.5
set * gpm.20 64                 # PCIe, MiB/s
set * gpm.21 32
set * gpm.60 2048               # NVLink, MiB/s
set * gpm.61 1024
set 0 uuid GPU-00000000-1111-2222-3333-444444444440
set 0 bus_id 00000000:1B:00.0
set 1 uuid GPU-10000000-1111-2222-3333-444444444441
set 1 bus_id 00000000:43:00.0
set 2 uuid GPU-20000000-1111-2222-3333-444444444442
set 2 bus_id 00000000:52:00.0
set 3 uuid GPU-30000000-1111-2222-3333-444444444443
set 3 bus_id 00000000:61:00.0
set 4 uuid GPU-40000000-1111-2222-3333-444444444444
set 4 bus_id 00000000:9D:00.0
set 5 uuid GPU-50000000-1111-2222-3333-444444444445
set 5 bus_id 00000000:C3:00.0
set 6 uuid GPU-60000000-1111-2222-3333-444444444446
set 6 bus_id 00000000:D1:00.0
set 7 uuid GPU-70000000-1111-2222-3333-444444444447
set 7 bus_id 00000000:DF:00.0
