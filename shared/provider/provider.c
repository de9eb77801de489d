#include "provider/provider.h"
#include "provider/provider_internal.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 256, PATH_BYTES = 4096 };

struct provider_set {
    struct provider **items;
    size_t count;
};

/* ---- directories */

struct file_list {
    char *names[FILES_MAX];
    int count;
};

static void file_list_fini(struct file_list *list)
{
    for (int i = 0; i < list->count; i++)
        free(list->names[i]);
    list->count = 0;
}

static int is_provider_file(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

static enum err_code file_list_add(struct file_list *list, const char *dir, const char *name, struct err *err)
{
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], name) == 0) return ERR_OK;
    }
    if (list->count == FILES_MAX) return err_set(err, ERR_CONFIG, dir, "more than %d provider files", FILES_MAX);
    char *copy = strdup(name);
    if (!copy) return err_set(err, ERR_NOMEM, dir, "out of memory");
    list->names[list->count++] = copy;
    return ERR_OK;
}

static enum err_code list_dir(struct file_list *list, const char *dir, int may_lack, struct err *err)
{
    enum err_code code = ERR_OK;
    DIR *d = opendir(dir);
    if (!d && errno == ENOENT && may_lack) return ERR_OK;
    if (!d) return err_set(err, ERR_CONFIG, dir, "the directory of provider files cannot be read: %s", strerror(errno));
    for (struct dirent *entry; code == ERR_OK && (entry = readdir(d));) {
        if (is_provider_file(entry->d_name)) code = file_list_add(list, dir, entry->d_name, err);
    }
    closedir(d);
    return code;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- the set */

static enum err_code find_file(const char *dir, const char *override_dir, const char *name, char *path, struct err *err)
{
    int len = -1;
    if (override_dir) {
        len = snprintf(path, PATH_BYTES, "%s/%s", override_dir, name);
        if (len < PATH_BYTES && access(path, F_OK) == 0) return ERR_OK;
    }
    len = snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    return len < PATH_BYTES ? ERR_OK : err_set(err, ERR_CONFIG, name, "the path is too long");
}

static enum err_code load_one(struct provider_set *set, const char *path, struct err *err)
{
    struct provider *p = NULL;
    enum err_code code = provider_file_load(path, &p, err);
    if (code != ERR_OK) return code;
    if (provider_find(set, p->platform)) {
        code = err_set(err, ERR_CONFIG, path, "another file is for platform \"%s\", too", p->platform);
        provider_free(p);
        return code;
    }
    set->items[set->count++] = p;
    return ERR_OK;
}

enum err_code provider_set_load(const char *dir, const char *override_dir, struct provider_set **out, struct err *err)
{
    struct file_list list = {.count = 0};
    char path[PATH_BYTES];
    enum err_code code = ERR_NOMEM;
    struct provider_set *set = calloc(1, sizeof *set);
    if (set) set->items = calloc(FILES_MAX, sizeof *set->items);
    if (!set || !set->items) {
        err_set(err, ERR_NOMEM, dir, "out of memory");
        goto out;
    }
    if (override_dir && !*override_dir) override_dir = NULL;
    code = list_dir(&list, dir, 0, err);
    if (code == ERR_OK && override_dir) code = list_dir(&list, override_dir, 1, err);
    if (code == ERR_OK && list.count == 0) code = err_set(err, ERR_CONFIG, dir, "there is no provider file (*.json)");
    qsort(list.names, (size_t)list.count, sizeof(char *), by_name);
    for (int i = 0; code == ERR_OK && i < list.count; i++) {
        code = find_file(dir, override_dir, list.names[i], path, err);
        if (code == ERR_OK) code = load_one(set, path, err);
    }
out:
    file_list_fini(&list);
    if (code != ERR_OK) {
        provider_set_free(set);
        set = NULL;
    }
    *out = set;
    return code;
}

void provider_set_free(struct provider_set *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->count; i++)
        provider_free(set->items[i]);
    free(set->items);
    free(set);
}

const struct provider *provider_find(const struct provider_set *set, const char *platform)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->items[i]->platform, platform) == 0) return set->items[i];
    }
    return NULL;
}

size_t provider_count(const struct provider_set *set)
{
    return set->count;
}

const struct provider *provider_at(const struct provider_set *set, size_t index)
{
    return index < set->count ? set->items[index] : NULL;
}

const char *provider_platform(const struct provider *p)
{
    return p->platform;
}

/* ---- logins */

static size_t prefix_len(const struct login *l, const char *token)
{
    size_t longest = 0;
    for (size_t i = 0; i < json_count(l->prefixes); i++) {
        const char *prefix = json_string(json_at(l->prefixes, i));
        size_t len = strlen(prefix);
        if (len > longest && strncmp(token, prefix, len) == 0) longest = len;
    }
    return longest;
}

const struct login *provider_login_named(const struct provider *p, const struct secret *token)
{
    const char *text = token ? (const char *)secret_bytes(token) : NULL;
    const struct login *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; text && i < p->login_count; i++) {
        size_t len = prefix_len(&p->logins[i], text);
        if (len > longest) {
            longest = len;
            best = &p->logins[i];
        }
    }
    return best;
}

const struct login *provider_login(const struct provider *p, const struct secret *token)
{
    const struct login *named = provider_login_named(p, token);
    return named ? named : p->default_login;
}

const struct login *provider_login_after(const struct provider *p, const struct login *first, const struct login *l)
{
    for (size_t i = l == first ? 0 : (size_t)(l - p->logins) + 1; i < p->login_count; i++) {
        if (&p->logins[i] != first) return &p->logins[i];
    }
    return NULL;
}

size_t provider_login_count(const struct provider *p)
{
    return p->login_count;
}

const struct login *provider_login_find(const struct provider *p, const char *name)
{
    for (size_t i = 0; i < p->login_count; i++) {
        if (strcmp(p->logins[i].name, name) == 0) return &p->logins[i];
    }
    return NULL;
}

const char *login_name(const struct login *l)
{
    return l->name;
}

const char *login_host(const struct login *l)
{
    return l->host;
}

const char *login_app(const struct login *l)
{
    return l->app;
}

const struct refresh_policy *login_refresh(const struct login *l)
{
    return &l->refresh;
}

int login_has_request(const struct login *l, enum request_kind kind)
{
    return (unsigned)kind < REQUEST_KIND_COUNT && l->requests[kind].present;
}
