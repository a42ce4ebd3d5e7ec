/*
 * Stands in for the hypervisor and for xenstored, so that `xl -N create FILE` reads a configuration on a
 * machine without Xen (xl_test.go preloads it). It is built without a C library: it must load next to
 * another glibc than that of the machine that compiles it.
 *
 * Only what xl's dry run calls is here. The host has 8 CPUs on 2 nodes. Numbers and layouts are those of Xen
 * 4.20's public headers version.h and sysctl.h.
 */

static int handle;

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) { return &handle; }
int xc_interface_close(void *xch) { return 0; }
int xc_get_max_cpus(void *xch) { return 8; }
int xc_get_online_cpus(void *xch) { return 8; }
int xc_get_max_nodes(void *xch) { return 2; }
long xc_sharing_freed_pages(void *xch) { return 0; }
long xc_sharing_used_frames(void *xch) { return 0; }

/* info: threads_per_core, cores_per_socket, nr_cpus, max_cpu_id, nr_nodes, max_node_id, ... */
int xc_physinfo(void *xch, unsigned *info)
{
    static const unsigned host[] = { 1, 4, 8, 7, 2, 1 };

    for (int i = 0; i < sizeof(host) / sizeof(host[0]); i++)
        info[i] = host[i];
    return 0;
}

/* cpus: core, socket and node of each; asked without cpus for how many there are */
int xc_cputopoinfo(void *xch, unsigned *count, unsigned (*cpus)[3])
{
    *count = 8;
    for (unsigned i = 0; cpus && i < *count; i++) {
        cpus[i][0] = i % 4;
        cpus[i][1] = cpus[i][2] = i / 4;
    }
    return 0;
}

int xc_version(void *xch, int what, char *text)
{
    switch (what) {
    case 0: /* version */
        return 4 << 16 | 20;
    case 2: /* compile_info: four strings */
        text[0] = text[64] = text[80] = text[112] = 0;
        return 0;
    case 5: /* platform_parameters: one address */
        *(unsigned long *)text = 0;
        return 0;
    case 7: /* pagesize */
        return 4096;
    }
    return -1;
}

char *strdup(const char *); /* xl's own C library has it; xl frees these strings */
char *xc_xenver_extraversion(void *xch) { return strdup(""); }
char *xc_xenver_capabilities(void *xch) { return strdup(""); }
char *xc_xenver_changeset(void *xch) { return strdup(""); }
char *xc_xenver_commandline(void *xch) { return strdup(""); }
char *xc_xenver_buildid(void *xch) { return strdup(""); }

void *xs_open(unsigned long flags) { return &handle; }
void xs_close(void *xsh) { }
void xs_daemon_close(void *xsh) { }
