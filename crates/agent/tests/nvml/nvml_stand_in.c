/*
 * A stand-in for NVIDIA's libnvidia-ml.so.1: the real C interface, told by a story.
 *
 * The file named by VEDETTE_NVML_STORY says what the node is like and how it changes. One statement
 * a line, '#' begins a comment; a device is a GPU's index, GPU.INSTANCE for a MIG instance, or * for
 * all GPUs:
 *
 *   include FILE                        another story, from the same folder
 *   driver TEXT                         the driver's version
 *   init CODE                           what nvmlInit_v2 returns
 *   gpus N                              how many GPUs there are
 *   count N                             how many of them the driver still enumerates
 *   set DEVICE KEY VALUE                a value: a number, a text, or the name of a return code
 *   xid GPU N                           a critical event is waiting
 *   hang SYMBOL FILE                    calls of SYMBOL do not return until FILE is in that folder
 *   on SYMBOL N STATEMENT               the statement takes effect with the N-th call of SYMBOL
 *   after MS STATEMENT                  the statement takes effect MS milliseconds after nvmlInit_v2
 *
 * A value that no statement gives is NVML_ERROR_NOT_SUPPORTED. The key "every" gives the code that
 * every call on that GPU returns: GPU_IS_LOST, say. Values read by nvmlDeviceGetFieldValues have the
 * keys field.ID and begin with their type: u32: u64: i64: or f64:.
 *
 * With -DVEDETTE_NVML_HEADER='"nvml.h"' the declarations are NVIDIA's own, so that the compiler
 * proves the ones below.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef VEDETTE_NVML_HEADER
#include VEDETTE_NVML_HEADER
#else
typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_TIMEOUT = 10,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_RESET_REQUIRED = 16,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_UNKNOWN = 999
} nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct nvmlEventSet_st *nvmlEventSet_t;
typedef struct nvmlGpmSample_st *nvmlGpmSample_t;
typedef enum { NVML_TEMPERATURE_GPU = 0 } nvmlTemperatureSensors_t;
typedef enum { NVML_TEMPERATURE_THRESHOLD_SHUTDOWN = 0 } nvmlTemperatureThresholds_t;
typedef enum { NVML_CLOCK_GRAPHICS = 0 } nvmlClockType_t;
typedef enum { NVML_PERF_POLICY_POWER = 0 } nvmlPerfPolicyType_t;
typedef enum { NVML_PCIE_UTIL_TX_BYTES = 0 } nvmlPcieUtilCounter_t;
typedef enum { NVML_PSTATE_0 = 0 } nvmlPstates_t;
typedef enum { NVML_FEATURE_DISABLED = 0, NVML_FEATURE_ENABLED = 1 } nvmlEnableState_t;
typedef enum {
    NVML_VALUE_TYPE_DOUBLE = 0,
    NVML_VALUE_TYPE_UNSIGNED_INT = 1,
    NVML_VALUE_TYPE_UNSIGNED_LONG = 2,
    NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3,
    NVML_VALUE_TYPE_SIGNED_LONG_LONG = 4
} nvmlValueType_t;
typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;
typedef struct { unsigned long long bar1Total, bar1Free, bar1Used; } nvmlBAR1Memory_t;
typedef struct { unsigned long long referenceTime, violationTime; } nvmlViolationTime_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
typedef union {
    double dVal;
    int siVal;
    unsigned int uiVal;
    unsigned long ulVal;
    unsigned long long ullVal;
    signed long long sllVal;
    unsigned short usVal;
} nvmlValue_t;
typedef struct {
    unsigned int fieldId, scopeId;
    long long timestamp, latencyUsec;
    nvmlValueType_t valueType;
    nvmlReturn_t nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;
typedef struct {
    nvmlDevice_t device;
    unsigned long long eventType, eventData;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlEventData_t;
typedef struct {
    unsigned int metricId;
    nvmlReturn_t nvmlReturn;
    double value;
    struct { char *shortName, *longName, *unit; } metricInfo;
} nvmlGpmMetric_t;
typedef struct {
    unsigned int version, numMetrics;
    nvmlGpmSample_t sample1, sample2;
    nvmlGpmMetric_t metrics[210];
} nvmlGpmMetricsGet_t;
typedef struct { unsigned int version, isSupportedDevice; } nvmlGpmSupport_t;
#define nvmlEventTypeXidCriticalError 0x8LL
#endif

#define DEVICES_MAX 32
#define ENTRIES_MAX 192
#define MIG_MAX 7
#define STEPS_MAX 128
#define SYMBOLS_MAX 96
#define XIDS_MAX 256

struct entry {
    char key[40];
    char text[96];
};

struct nvmlDevice_st {
    unsigned int index;
    struct nvmlDevice_st *parent;
    struct nvmlDevice_st *mig[MIG_MAX];
    struct entry entries[ENTRIES_MAX];
    unsigned int entry_count;
    unsigned long long xids[XIDS_MAX];
    unsigned int xid_head, xid_tail;
};

struct nvmlEventSet_st {
    struct nvmlDevice_st *devices[DEVICES_MAX];
    unsigned int count;
};

struct nvmlGpmSample_st {
    struct nvmlDevice_st *device;
};

struct step {
    char symbol[64]; /* empty: by time */
    long long due;   /* which call, or how many milliseconds */
    char statement[256];
    int done;
};

struct calls {
    char symbol[64];
    long long count;
    char hang_until[640]; /* empty: returns */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nvmlDevice_st *gpus[DEVICES_MAX];
static unsigned int gpu_count, enumerated;
static struct step steps[STEPS_MAX];
static unsigned int step_count;
static struct calls calls[SYMBOLS_MAX];
static unsigned int calls_count;
static char driver_version[80] = "570.124.06";
static char folder[256] = ".";
static nvmlReturn_t init_code = NVML_SUCCESS;
static int loaded;
static struct timespec started;

static const struct { const char *name; nvmlReturn_t code; } CODES[] = {
    {"SUCCESS", NVML_SUCCESS},
    {"UNINITIALIZED", NVML_ERROR_UNINITIALIZED},
    {"INVALID_ARGUMENT", NVML_ERROR_INVALID_ARGUMENT},
    {"NOT_SUPPORTED", NVML_ERROR_NOT_SUPPORTED},
    {"NO_PERMISSION", NVML_ERROR_NO_PERMISSION},
    {"DRIVER_NOT_LOADED", NVML_ERROR_DRIVER_NOT_LOADED},
    {"GPU_IS_LOST", NVML_ERROR_GPU_IS_LOST},
    {"RESET_REQUIRED", NVML_ERROR_RESET_REQUIRED},
    {"LIB_RM_VERSION_MISMATCH", NVML_ERROR_LIB_RM_VERSION_MISMATCH},
    {"UNKNOWN", NVML_ERROR_UNKNOWN},
};

static int code_named(const char *name, nvmlReturn_t *code) {
    for (unsigned int i = 0; i < sizeof CODES / sizeof CODES[0]; i++) {
        if (strcmp(CODES[i].name, name) == 0) {
            *code = CODES[i].code;
            return 1;
        }
    }
    return 0;
}

static void refuse(const char *line, const char *why) {
    fprintf(stderr, "nvml story: %s: %s\n", why, line);
    abort();
}

static void *zeroed(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory) refuse("", "out of memory");
    return memory;
}

static struct calls *calls_of(const char *symbol) {
    for (unsigned int i = 0; i < calls_count; i++)
        if (strcmp(calls[i].symbol, symbol) == 0) return &calls[i];
    if (calls_count == SYMBOLS_MAX) refuse(symbol, "too many symbols");
    snprintf(calls[calls_count].symbol, sizeof calls[0].symbol, "%s", symbol);
    return &calls[calls_count++];
}

static void put(struct nvmlDevice_st *device, const char *key, const char *text) {
    unsigned int i = 0;
    while (i < device->entry_count && strcmp(device->entries[i].key, key) != 0) i++;
    if (i == ENTRIES_MAX) refuse(key, "too many values");
    if (i == device->entry_count) device->entry_count++;
    snprintf(device->entries[i].key, sizeof device->entries[i].key, "%s", key);
    snprintf(device->entries[i].text, sizeof device->entries[i].text, "%s", text);
}

static void set(const char *which, const char *key, const char *text, const char *line) {
    if (strcmp(which, "*") == 0) {
        for (unsigned int i = 0; i < gpu_count; i++) put(gpus[i], key, text);
        return;
    }
    unsigned int gpu, instance;
    int parts = sscanf(which, "%u.%u", &gpu, &instance);
    if (parts < 1 || gpu >= gpu_count) refuse(line, "no such GPU");
    struct nvmlDevice_st *device = gpus[gpu];
    if (parts == 2) {
        if (instance >= MIG_MAX) refuse(line, "no such instance");
        if (!device->mig[instance]) {
            device->mig[instance] = zeroed(sizeof *device);
            device->mig[instance]->index = instance;
            device->mig[instance]->parent = device;
        }
        device = device->mig[instance];
    }
    put(device, key, text);
}

static void load(const char *path);

static void apply(const char *line) {
    char a[64], b[64], c[256];
    int used = 0;
    unsigned int n, gpu;
    unsigned long long xid;
    long long due;
    if (sscanf(line, "include %255s", c) == 1) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, c);
        load(path);
    } else if (sscanf(line, "driver %79s", driver_version) == 1) {
    } else if (sscanf(line, "init %63s", a) == 1) {
        if (!code_named(a, &init_code)) refuse(line, "no such return code");
    } else if (sscanf(line, "gpus %u", &n) == 1) {
        if (n > DEVICES_MAX) refuse(line, "too many GPUs");
        for (; gpu_count < n; gpu_count++) {
            gpus[gpu_count] = zeroed(sizeof *gpus[0]);
            gpus[gpu_count]->index = gpu_count;
        }
        enumerated = n;
    } else if (sscanf(line, "count %u", &n) == 1) {
        enumerated = n;
    } else if (sscanf(line, "set %63s %63s %n", a, b, &used) == 2 && used) {
        set(a, b, line + used, line);
    } else if (sscanf(line, "xid %u %llu", &gpu, &xid) == 2) {
        if (gpu >= gpu_count) refuse(line, "no such GPU");
        gpus[gpu]->xids[gpus[gpu]->xid_tail++ % XIDS_MAX] = xid;
    } else if (sscanf(line, "hang %63s %255s", a, c) == 2) {
        if (snprintf(calls_of(a)->hang_until, sizeof calls[0].hang_until, "%s/%s", folder, c) >=
            (int)sizeof calls[0].hang_until)
            refuse(line, "path too long");
    } else if (sscanf(line, "on %63s %lld %n", a, &due, &used) == 2 && used) {
        if (step_count == STEPS_MAX) refuse(line, "too many steps");
        snprintf(steps[step_count].symbol, sizeof steps[0].symbol, "%s", a);
        steps[step_count].due = due;
        snprintf(steps[step_count++].statement, sizeof steps[0].statement, "%s", line + used);
    } else if (sscanf(line, "after %lld %n", &due, &used) == 1 && used) {
        if (step_count == STEPS_MAX) refuse(line, "too many steps");
        steps[step_count].due = due;
        snprintf(steps[step_count++].statement, sizeof steps[0].statement, "%s", line + used);
    } else {
        refuse(line, "cannot be understood");
    }
}

static void load(const char *path) {
    FILE *file = fopen(path, "r");
    char line[512];
    if (!file) refuse(path, "cannot be opened");
    while (fgets(line, sizeof line, file)) {
        char *hash = strchr(line, '#');
        if (hash) *hash = 0;
        size_t end = strlen(line);
        while (end && strchr(" \t\r\n", line[end - 1])) line[--end] = 0;
        if (end) apply(line);
    }
    fclose(file);
}

static void pause_millis(long millis) {
    struct timespec span = {millis / 1000, millis % 1000 * 1000000};
    nanosleep(&span, NULL);
}

/* Counts the call, takes the steps that are due, and stays here if the story says so. */
static void enter(const char *symbol) {
    char until[640];
    pthread_mutex_lock(&lock);
    struct calls *mine = calls_of(symbol);
    mine->count++;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long millis =
        (now.tv_sec - started.tv_sec) * 1000LL + (now.tv_nsec - started.tv_nsec) / 1000000;
    for (unsigned int i = 0; i < step_count; i++) {
        struct step *step = &steps[i];
        int due = step->symbol[0] ? strcmp(step->symbol, symbol) == 0 && mine->count >= step->due
                                  : started.tv_sec && millis >= step->due;
        if (!step->done && due) {
            step->done = 1;
            apply(step->statement);
        }
    }
    snprintf(until, sizeof until, "%s", mine->hang_until);
    pthread_mutex_unlock(&lock);
    while (until[0] && access(until, F_OK) != 0) pause_millis(2);
}

static const char *find(nvmlDevice_t device, const char *key) {
    for (unsigned int i = 0; i < device->entry_count; i++)
        if (strcmp(device->entries[i].key, key) == 0) return device->entries[i].text;
    return NULL;
}

/* What every call on this device, or on the GPU that it is a part of, returns. Holds the lock. */
static nvmlReturn_t every(nvmlDevice_t device) {
    nvmlReturn_t code = loaded ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
    for (; device && code == NVML_SUCCESS; device = device->parent) {
        const char *text = find(device, "every");
        if (text && !code_named(text, &code)) refuse(text, "no such return code");
    }
    return code;
}

/* The same, for calls that read no value. */
static nvmlReturn_t whole(nvmlDevice_t device) {
    pthread_mutex_lock(&lock);
    nvmlReturn_t code = every(device);
    pthread_mutex_unlock(&lock);
    return code;
}

/* The text of a value, or the code that stands for it. */
static nvmlReturn_t text_of(nvmlDevice_t device, const char *key, char *out, size_t bytes) {
    pthread_mutex_lock(&lock);
    nvmlReturn_t code = every(device);
    if (code == NVML_SUCCESS) {
        const char *text = find(device, key);
        if (!text)
            code = NVML_ERROR_NOT_SUPPORTED;
        else if (!code_named(text, &code))
            snprintf(out, bytes, "%s", text);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static nvmlReturn_t number_of(nvmlDevice_t device, const char *key, unsigned long long *out) {
    char text[96];
    nvmlReturn_t code = text_of(device, key, text, sizeof text);
    if (code == NVML_SUCCESS) *out = strtoull(text, NULL, 0);
    return code;
}

static nvmlReturn_t uint_of(nvmlDevice_t device, const char *key, unsigned int *out) {
    unsigned long long wide = 0;
    nvmlReturn_t code = number_of(device, key, &wide);
    if (code == NVML_SUCCESS) *out = (unsigned int)wide;
    return code;
}

static nvmlReturn_t indexed(nvmlDevice_t device, const char *stem, unsigned int i, unsigned int *out) {
    char key[40];
    snprintf(key, sizeof key, "%s.%u", stem, i);
    return uint_of(device, key, out);
}

/* ------------------------------------------------------------------ the library and its devices */

nvmlReturn_t nvmlInit_v2(void) {
    pthread_mutex_lock(&lock);
    if (!loaded && gpu_count == 0) {
        const char *path = getenv("VEDETTE_NVML_STORY");
        if (!path) refuse("", "VEDETTE_NVML_STORY is not set");
        snprintf(folder, sizeof folder, "%s", path);
        char *slash = strrchr(folder, '/');
        if (slash) *slash = 0;
        load(path);
    }
    pthread_mutex_unlock(&lock);
    enter(__func__);
    pthread_mutex_lock(&lock);
    nvmlReturn_t code = init_code;
    if (code == NVML_SUCCESS) {
        loaded = 1;
        if (!started.tv_sec) clock_gettime(CLOCK_MONOTONIC, &started);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

nvmlReturn_t nvmlShutdown(void) {
    enter(__func__);
    pthread_mutex_lock(&lock);
    loaded = 0;
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    enter(__func__);
    snprintf(version, length, "%s", driver_version);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    enter(__func__);
    if (!loaded) return NVML_ERROR_UNINITIALIZED;
    *count = enumerated;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    enter(__func__);
    if (!loaded) return NVML_ERROR_UNINITIALIZED;
    if (index >= enumerated) return NVML_ERROR_INVALID_ARGUMENT;
    *device = gpus[index];
    return whole(gpus[index]);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    enter(__func__);
    return text_of(device, "uuid", uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    enter(__func__);
    return text_of(device, "name", name, length);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    enter(__func__);
    memset(pci, 0, sizeof *pci);
    nvmlReturn_t code = text_of(device, "bus_id", pci->busId, sizeof pci->busId);
    if (code == NVML_SUCCESS)
        sscanf(pci->busId, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    return code;
}

/* ---------------------------------------------------------------------------- values of a device */

#define UINT(symbol, key)                                                  \
    nvmlReturn_t symbol(nvmlDevice_t device, unsigned int *value) {        \
        enter(__func__);                                                   \
        return uint_of(device, key, value);                                \
    }
UINT(nvmlDeviceGetPowerUsage, "power")
UINT(nvmlDeviceGetPowerManagementLimit, "power_limit")
UINT(nvmlDeviceGetPowerManagementDefaultLimit, "power_default")
UINT(nvmlDeviceGetEnforcedPowerLimit, "power_enforced")
UINT(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen")
UINT(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
UINT(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_max")
UINT(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
UINT(nvmlDeviceGetMaxMigDeviceCount, "mig_max")

#define ULONG(symbol, key)                                                 \
    nvmlReturn_t symbol(nvmlDevice_t device, unsigned long long *value) {  \
        enter(__func__);                                                   \
        return number_of(device, key, value);                              \
    }
ULONG(nvmlDeviceGetTotalEnergyConsumption, "energy")
ULONG(nvmlDeviceGetCurrentClocksThrottleReasons, "reasons")
ULONG(nvmlDeviceGetSupportedEventTypes, "events")

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    enter(__func__);
    nvmlReturn_t code = uint_of(device, "util", &rates->gpu);
    return code == NVML_SUCCESS ? uint_of(device, "util_memory", &rates->memory) : code;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *value,
                                             unsigned int *period) {
    enter(__func__);
    *period = 100000;
    return uint_of(device, "util_enc", value);
}

nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned int *value,
                                             unsigned int *period) {
    enter(__func__);
    *period = 100000;
    return uint_of(device, "util_dec", value);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    enter(__func__);
    if (memory->version != (sizeof *memory | 2u << 24)) return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t code = number_of(device, "memory_total", &memory->total);
    if (code == NVML_SUCCESS) code = number_of(device, "memory_reserved", &memory->reserved);
    if (code == NVML_SUCCESS) code = number_of(device, "memory_free", &memory->free);
    return code == NVML_SUCCESS ? number_of(device, "memory_used", &memory->used) : code;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory) {
    enter(__func__);
    nvmlReturn_t code = number_of(device, "bar1_total", &memory->bar1Total);
    if (code == NVML_SUCCESS) code = number_of(device, "bar1_free", &memory->bar1Free);
    return code == NVML_SUCCESS ? number_of(device, "bar1_used", &memory->bar1Used) : code;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *low,
                                                          unsigned int *high) {
    enter(__func__);
    nvmlReturn_t code = uint_of(device, "power_min", low);
    return code == NVML_SUCCESS ? uint_of(device, "power_max", high) : code;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                      unsigned int *value) {
    enter(__func__);
    return sensor == NVML_TEMPERATURE_GPU ? uint_of(device, "temperature", value)
                                          : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device,
                                               nvmlTemperatureThresholds_t threshold,
                                               unsigned int *value) {
    enter(__func__);
    return indexed(device, "threshold", threshold, value);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t clock, unsigned int *value) {
    enter(__func__);
    return indexed(device, "clock", clock, value);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t clock,
                                       unsigned int *value) {
    enter(__func__);
    return indexed(device, "clock_max", clock, value);
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *value) {
    enter(__func__);
    return indexed(device, "fan", fan, value);
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter,
                                         unsigned int *value) {
    enter(__func__);
    return indexed(device, "pcie", counter, value);
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state) {
    unsigned int value = 0;
    enter(__func__);
    nvmlReturn_t code = uint_of(device, "pstate", &value);
    *state = (nvmlPstates_t)value;
    return code;
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t device, nvmlPerfPolicyType_t policy,
                                          nvmlViolationTime_t *time) {
    char key[40];
    enter(__func__);
    snprintf(key, sizeof key, "violation.%u", (unsigned int)policy);
    time->referenceTime = 1;
    return number_of(device, key, &time->violationTime);
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link,
                                      nvmlEnableState_t *state) {
    unsigned int value = 0;
    enter(__func__);
    nvmlReturn_t code = indexed(device, "link_up", link, &value);
    *state = value ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return code;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *infos) {
    unsigned int there = 0;
    enter(__func__);
    nvmlReturn_t code = uint_of(device, "processes", &there);
    if (code != NVML_SUCCESS) return code;
    unsigned int room = *count;
    *count = there;
    if (there > room) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned int i = 0; infos && i < there; i++) {
        memset(&infos[i], 0, sizeof infos[i]);
        infos[i].pid = 1000 + i;
        infos[i].gpuInstanceId = infos[i].computeInstanceId = 0xFFFFFFFF;
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    enter(__func__);
    nvmlReturn_t code = whole(device);
    if (code != NVML_SUCCESS) return code;
    for (int i = 0; i < count; i++) {
        char key[40], text[96];
        nvmlFieldValue_t *value = &values[i];
        snprintf(key, sizeof key, "field.%u", value->fieldId);
        value->nvmlReturn = text_of(device, key, text, sizeof text);
        if (value->nvmlReturn != NVML_SUCCESS) continue;
        if (strncmp(text, "u32:", 4) == 0) {
            value->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
            value->value.uiVal = (unsigned int)strtoul(text + 4, NULL, 0);
        } else if (strncmp(text, "u64:", 4) == 0) {
            value->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
            value->value.ullVal = strtoull(text + 4, NULL, 0);
        } else if (strncmp(text, "i64:", 4) == 0) {
            value->valueType = NVML_VALUE_TYPE_SIGNED_LONG_LONG;
            value->value.sllVal = strtoll(text + 4, NULL, 0);
        } else if (strncmp(text, "f64:", 4) == 0) {
            value->valueType = NVML_VALUE_TYPE_DOUBLE;
            value->value.dVal = strtod(text + 4, NULL);
        } else {
            refuse(text, "a field without a type");
        }
    }
    return NVML_SUCCESS;
}

/* ------------------------------------------------------------------------------------------- MIG */

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    enter(__func__);
    nvmlReturn_t code = uint_of(device, "mig", current);
    *pending = *current;
    return code;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index,
                                                 nvmlDevice_t *instance) {
    enter(__func__);
    nvmlReturn_t code = whole(device);
    if (code != NVML_SUCCESS) return code;
    if (index >= MIG_MAX || !device->mig[index]) return NVML_ERROR_NOT_FOUND;
    *instance = device->mig[index];
    return NVML_SUCCESS;
}

/* ---------------------------------------------------------------------------------------- events */

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    enter(__func__);
    *set = zeroed(sizeof **set);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    enter(__func__);
    free(set);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types,
                                      nvmlEventSet_t set) {
    unsigned long long known = 0;
    enter(__func__);
    nvmlReturn_t code = number_of(device, "events", &known);
    if (code != NVML_SUCCESS) return code;
    if (types & ~known || set->count == DEVICES_MAX) return NVML_ERROR_INVALID_ARGUMENT;
    set->devices[set->count++] = device;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout) {
    enter(__func__);
    for (unsigned int waited = 0;; waited++) {
        nvmlReturn_t code = NVML_SUCCESS;
        for (unsigned int i = 0; i < set->count; i++) {
            nvmlDevice_t device = set->devices[i];
            pthread_mutex_lock(&lock);
            if (device->xid_head != device->xid_tail) {
                memset(data, 0, sizeof *data);
                data->device = device;
                data->eventType = nvmlEventTypeXidCriticalError;
                data->eventData = device->xids[device->xid_head++ % XIDS_MAX];
                data->gpuInstanceId = data->computeInstanceId = 0xFFFFFFFF;
                pthread_mutex_unlock(&lock);
                return NVML_SUCCESS;
            }
            pthread_mutex_unlock(&lock);
            if (code == NVML_SUCCESS) code = whole(device);
        }
        if (code != NVML_SUCCESS) return code;
        if (waited >= timeout) return NVML_ERROR_TIMEOUT;
        pause_millis(1);
    }
}

/* ------------------------------------------------------------------- profiling counters (Hopper) */

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
    enter(__func__);
    return uint_of(device, "gpm", &support->isSupportedDevice);
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) {
    enter(__func__);
    *sample = zeroed(sizeof **sample);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
    enter(__func__);
    free(sample);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
    unsigned int supported;
    enter(__func__);
    sample->device = device;
    return uint_of(device, "gpm", &supported);
}

nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *get) {
    enter(__func__);
    if (get->version != 1 || get->sample1->device != get->sample2->device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int i = 0; i < get->numMetrics; i++) {
        char key[40], text[96];
        nvmlGpmMetric_t *metric = &get->metrics[i];
        snprintf(key, sizeof key, "gpm.%u", metric->metricId);
        metric->nvmlReturn = text_of(get->sample1->device, key, text, sizeof text);
        if (metric->nvmlReturn == NVML_SUCCESS) metric->value = strtod(text, NULL);
    }
    return NVML_SUCCESS;
}
