/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A socket under a path. It is bound under a temporary name that nobody may open, gets its mode and
 * owner, and is then renamed, so that it is never there with another's rights; no umask is
 * changed, which all threads would share. Until it listens nobody can connect. The directory is opened first and named by its
 * descriptor from then on, so a path may be longer than the 107 bytes of a socket's address.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pl_ctl_pvt.h"

#define BACKLOG    16
#define NAMES_SIZE 16384u /* for what the user database says of one name */

static int uid_of(const char *name, uid_t *out)
{
	char *buf = malloc(NAMES_SIZE);
	struct passwd pw, *found = NULL;

	if (buf == NULL)
		return -ENOMEM;
	(void)getpwnam_r(name, &pw, buf, NAMES_SIZE, &found);
	if (found != NULL)
		*out = pw.pw_uid;
	free(buf);
	return found != NULL ? 0 : -ENOENT;
}

static int gid_of(const char *name, gid_t *out)
{
	char *buf = malloc(NAMES_SIZE);
	struct group gr, *found = NULL;

	if (buf == NULL)
		return -ENOMEM;
	(void)getgrnam_r(name, &gr, buf, NAMES_SIZE, &found);
	if (found != NULL)
		*out = gr.gr_gid;
	free(buf);
	return found != NULL ? 0 : -ENOENT;
}

static int names_find(const char *owner, const char *group, uid_t *uid, gid_t *gid, char *error,
		      size_t error_size)
{
	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (owner != NULL && *owner != '\0' && uid_of(owner, uid) != 0) {
		snprintf(error, error_size, "there is no user %s: make one (adduser --system %s)",
			 owner, owner);
		return -ENOENT;
	}
	if (group != NULL && *group != '\0' && gid_of(group, gid) != 0) {
		snprintf(error, error_size, "there is no group %s: make one (addgroup --system %s)",
			 group, group);
		return -ENOENT;
	}
	return 0;
}

int pl_ctl_names_check(const char *owner, const char *group, char *error, size_t error_size)
{
	uid_t uid;
	gid_t gid;

	return names_find(owner, group, &uid, &gid, error, error_size);
}

static void address_of(int dir_fd, const char *name, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	/* The name has at most 63 bytes: it fits. */
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%.63s", dir_fd, name);
}

/* The directory and the name in it. @return the directory's descriptor, or -errno. */
static int dir_open(const char *path, char name[64], const char *remedy, char *error,
		    size_t error_size)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	char *dir;
	int fd;

	/* Room for ".lock" behind it. */
	if (*base == '\0' || strlen(base) > 56) {
		snprintf(error, error_size,
			 "%s: a socket's name has 1 to 56 bytes behind its directory", path);
		return -EINVAL;
	}
	snprintf(name, 64, "%s", base);
	dir = slash == NULL   ? strdup(".")
	      : slash == path ? strdup("/")
			      : strndup(path, (size_t)(slash - path));
	if (dir == NULL) {
		snprintf(error, error_size, "no memory");
		return -ENOMEM;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		snprintf(error, error_size, "%s: directory %s: %s%s", path, dir, strerror(-fd),
			 remedy);
	}
	free(dir);
	return fd;
}

/* Someone else could put a socket of theirs in our place, or keep us out. */
static int dir_check(int dir_fd, const char *path, char *error, size_t error_size)
{
	struct stat st;

	if (fstat(dir_fd, &st) != 0)
		return -errno;
	if ((st.st_mode & S_IWOTH) == 0 || (st.st_mode & S_ISVTX) != 0)
		return 0;
	snprintf(error, error_size,
		 "%s: everybody may write to its directory (mode %04o): chmod o-w, or choose "
		 "another",
		 path, st.st_mode & 07777u);
	return -EPERM;
}

static int lock_take(struct pl_ctl_listener *l, const char *path, char *error, size_t error_size)
{
	char name[72];
	int rc;

	snprintf(name, sizeof(name), "%s.lock", l->name);
	l->lock_fd = openat(l->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			    0600);
	if (l->lock_fd < 0) {
		rc = -errno;
		snprintf(error, error_size, "%s.lock: %s: the directory must let this user write",
			 path, strerror(-rc));
		return rc;
	}
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	snprintf(error, error_size,
		 "%s is served by another process: give each appliance a socket of its own", path);
	return -EADDRINUSE;
}

/* What lies there under our name: nothing, a dead server's socket (removed), or what is not ours. */
static int stale_remove(struct pl_ctl_listener *l, const char *path, char *error, size_t error_size)
{
	struct sockaddr_un a;
	struct stat st;
	int fd, rc;

	if (fstatat(l->dir_fd, l->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(error, error_size,
			 "%s is there and no socket: remove it, or name another path", path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	address_of(l->dir_fd, l->name, &a);
	rc = connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : -errno;
	close(fd);
	/* A full backlog (EAGAIN) is a life, too. */
	if (rc != -ECONNREFUSED && rc != -ENOENT) {
		snprintf(error, error_size,
			 "%s answers already: another process serves it, which is not ended for us",
			 path);
		return -EADDRINUSE;
	}
	return unlinkat(l->dir_fd, l->name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int bind_named(struct pl_ctl_listener *l, const struct pl_ctl_server_conf *conf, uid_t uid,
		      gid_t gid)
{
	char tmp[72];
	struct sockaddr_un a;
	int rc = 0;

	snprintf(tmp, sizeof(tmp), "%.56s.new", l->name);
	address_of(l->dir_fd, tmp, &a);
	(void)unlinkat(l->dir_fd, tmp, 0); /* of one that died here */
	/* The mode that the file is made with: nobody's. */
	if (fchmod(l->fd, 0) != 0 || bind(l->fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
		return -errno;
	/* The mode first: once it is another's, only CAP_FOWNER could set it. */
	if (fchmodat(l->dir_fd, tmp, conf->mode, 0) != 0 ||
	    ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	     fchownat(l->dir_fd, tmp, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) ||
	    listen(l->fd, BACKLOG) != 0 || renameat(l->dir_fd, tmp, l->dir_fd, l->name) != 0) {
		rc = -errno;
		(void)unlinkat(l->dir_fd, tmp, 0);
	}
	return rc;
}

int pl_ctl_listen(const struct pl_ctl_server_conf *conf, struct pl_ctl_listener *l, char *error,
		  size_t error_size)
{
	uid_t uid;
	gid_t gid;
	int rc;

	*l = (struct pl_ctl_listener){.fd = -1, .lock_fd = -1, .dir_fd = -1};
	error[0] = '\0';
	rc = names_find(conf->owner, conf->group, &uid, &gid, error, error_size);
	if (rc != 0)
		return rc;
	l->dir_fd = rc =
		dir_open(conf->path, l->name, ": make it, or name another path", error, error_size);
	if (rc < 0)
		return rc;
	rc = dir_check(l->dir_fd, conf->path, error, error_size);
	if (rc == 0)
		rc = lock_take(l, conf->path, error, error_size);
	if (rc == 0)
		rc = stale_remove(l, conf->path, error, error_size);
	if (rc == 0) {
		l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		rc = l->fd < 0 ? -errno : bind_named(l, conf, uid, gid);
		if (rc != 0 && l->fd >= 0) {
			close(l->fd); /* the path is not ours to remove */
			l->fd = -1;
		}
	}
	if (rc == 0)
		return 0;
	if (error[0] == '\0')
		snprintf(error, error_size, "%s cannot be made: %s", conf->path, strerror(-rc));
	pl_ctl_unlisten(l);
	return rc;
}

void pl_ctl_unlisten(struct pl_ctl_listener *l)
{
	if (l->fd >= 0) {
		(void)unlinkat(l->dir_fd, l->name, 0); /* under the lock: nobody else's */
		close(l->fd);
	}
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	if (l->dir_fd >= 0)
		close(l->dir_fd);
	*l = (struct pl_ctl_listener){.fd = -1, .lock_fd = -1, .dir_fd = -1};
}

int pl_ctl_connect(const char *path, char *error, size_t error_size)
{
	struct sockaddr_un a;
	char name[64];
	int dir_fd = dir_open(path, name, ": no appliance serves it", error, error_size), fd,
	    rc = 0;

	if (dir_fd < 0)
		return dir_fd;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		rc = -errno;
	} else {
		address_of(dir_fd, name, &a);
		if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
			rc = -errno;
	}
	close(dir_fd);
	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	snprintf(error, error_size, "%s: %s%s", path, strerror(-rc),
		 rc == -ENOENT || rc == -ECONNREFUSED ? ": no appliance serves it"
		 : rc == -EACCES                      ? ": only its owner and group may ask"
						      : "");
	return rc;
}
