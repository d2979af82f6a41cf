/*
 * The functions of cylstm.h for extensions of Python: a table that the module cylstm has ready, instead of a library to
 * link with. Such an extension uses the code, the threads and the memory of the cylstm that is installed.
 *
 *     #include "cylstm_import.h"
 *     if (cylstm_import() != 0) return NULL;     as the extension is imported: needs the GIL, raises ImportError
 *     cylstm_api->step(state, x, y);             afterwards, without it
 *
 * In Cython, cimport cylstm (see __init__.pxd). Every C file that includes this has a pointer of its own to set.
 */
#ifndef CYLSTM_IMPORT_H
#define CYLSTM_IMPORT_H

#include <Python.h>

#include "cylstm.h"

/* Type, name and parameters of every function of cylstm.h. What is new comes last: the table of an older version is the
 * beginning of a later one's. */
#define CYLSTM_FUNCTIONS(FUNCTION)                                                                              \
    FUNCTION(const char *, status_name, (cylstm_status))                                                        \
    FUNCTION(const char *, version, (void))                                                                     \
    FUNCTION(cylstm_status, load, (const char *, const cylstm_load_options *, cylstm_model **, char *, size_t)) \
    FUNCTION(cylstm_status, load_memory,                                                                        \
             (const void *, size_t, const cylstm_load_options *, cylstm_model **, char *, size_t))              \
    FUNCTION(void, model_free, (cylstm_model *))                                                                \
    FUNCTION(int64_t, input_width, (const cylstm_model *))                                                      \
    FUNCTION(int64_t, output_width, (const cylstm_model *))                                                     \
    FUNCTION(cylstm_status, state_new, (const cylstm_model *, const cylstm_state_options *, cylstm_state **))   \
    FUNCTION(void, state_free, (cylstm_state *))                                                                \
    FUNCTION(cylstm_status, step, (cylstm_state *, const float *, float *))                                     \
    FUNCTION(cylstm_status, step_tokens, (cylstm_state *, const int32_t *, float *))                            \
    FUNCTION(cylstm_status, run, (cylstm_state *, int64_t, const float *, float *))                             \
    FUNCTION(cylstm_status, run_tokens, (cylstm_state *, int64_t, const int32_t *, float *))                    \
    FUNCTION(void, state_reset, (cylstm_state *))                                                               \
    FUNCTION(const cylstm_config *, model_config, (const cylstm_model *))                                       \
    FUNCTION(cylstm_task, model_task, (const cylstm_model *))                                                   \
    FUNCTION(const char *, model_kernels, (const cylstm_model *))                                               \
    FUNCTION(int64_t, model_bytes, (const cylstm_model *))                                                      \
    FUNCTION(void, values, (const cylstm_model *, int64_t, const float *, float *))                             \
    FUNCTION(int64_t, state_count, (const cylstm_state *))                                                      \
    FUNCTION(void, state_get, (const cylstm_state *, float *))                                                  \
    FUNCTION(void, state_set, (cylstm_state *, const float *))                                                  \
    FUNCTION(cylstm_status, state_copy, (cylstm_state *, const cylstm_state *))                                 \
    FUNCTION(int64_t, state_bytes, (const cylstm_model *, const cylstm_state_options *))                        \
    FUNCTION(cylstm_status, state_place,                                                                        \
             (const cylstm_model *, const cylstm_state_options *, void *, size_t, cylstm_state **))             \
    FUNCTION(cylstm_status, call_run, (cylstm_state *, const cylstm_call *))                                    \
    FUNCTION(cylstm_status, state_read, (const cylstm_state *, int64_t, float *))                               \
    FUNCTION(cylstm_status, state_write, (cylstm_state *, int64_t, const float *))                              \
    FUNCTION(cylstm_status, step_doubles, (cylstm_state *, const double *, float *))                            \
    FUNCTION(cylstm_status, run_doubles, (cylstm_state *, int64_t, const double *, float *))                    \
    FUNCTION(void, values_doubles, (const cylstm_model *, int64_t, const float *, double *))

typedef struct cylstm_functions {
    size_t struct_size;
    int32_t version_major, version_minor, version_patch;
#define CYLSTM_MEMBER(type, name, parameters) type(*name) parameters;
    CYLSTM_FUNCTIONS(CYLSTM_MEMBER)
#undef CYLSTM_MEMBER
} cylstm_functions;

/* The capsule that holds the table, by module and attribute. Versions that share its name follow cylstm.h's rule. */
#define CYLSTM_CAPSULE CYLSTM_CAPSULE_OF(CYLSTM_VERSION_MAJOR, CYLSTM_VERSION_MINOR)
#define CYLSTM_CAPSULE_OF(major, minor) CYLSTM_CAPSULE_NAMED(major, minor)
#define CYLSTM_CAPSULE_NAMED(major, minor) "cylstm._core._C_API_" #major "_" #minor

static const cylstm_functions *cylstm_api = NULL;

/* 0, or -1 and ImportError where cylstm is missing, of another series, or older than this header. */
static inline int cylstm_import(void)
{
    const cylstm_functions *table = (const cylstm_functions *)PyCapsule_Import(CYLSTM_CAPSULE, 0);
    if (table != NULL && table->struct_size >= sizeof(cylstm_functions)) {
        cylstm_api = table;
        return 0;
    }
    if (table != NULL || PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_SetString(PyExc_ImportError, "this module was built for cylstm " CYLSTM_VERSION
                                           " and versions that can replace it, which the installed one cannot");
    }
    return -1;
}

#endif
