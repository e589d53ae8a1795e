/* cgroup.h - what the control groups of this process allow it, versions 1 and 2. */
#ifndef QTOP_CGROUP_H
#define QTOP_CGROUP_H

/* Calls see for the folder of this process's own group and then for each one above it, up to where
 * the hierarchy is mounted, in the version-2 hierarchy and in version 1's of `controller` ("cpu",
 * "memory"). Any of them may have a limit. Folders need not exist: inside a container the path
 * is often that of the host. root is "" for the machine itself, else a folder that holds a copy of
 * its /proc/self/cgroup and /sys/fs/cgroup. */
typedef void cgroup_fn(const char *folder, int version, void *arg);
void cgroup_each(const char *root, const char *controller, cgroup_fn *see, void *arg);

/* Processors' worth of time that the process may take, the smallest of all limits (1.5 is three halves
 * of a processor); 0 where there is none. */
double cgroup_cpu_quota(const char *root);

#endif
