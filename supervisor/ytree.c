/*
 * A strict subset of YAML as a small tree, read from libyaml's events.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * Why not libyaml's own document loader: it follows aliases, keeps no place
 * of a key and lets duplicate keys pass.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

#include "diag.h"
#include "log.h"
#include "ytree.h"

struct reader {
	yaml_parser_t	 yaml;
	struct diags	*d;
	const char	*buf;
	size_t		 len;
	unsigned	 nodes;
	bool		 failed;	/* nothing more can be read */
};

static struct ynode *read_node(struct reader *, yaml_event_t *, unsigned);

static struct ynode *
node_new(enum ynode_kind kind, const yaml_mark_t *at)
{
	struct ynode *n;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		fatal("out of memory");
	n->kind = kind;
	n->line = (unsigned)at->line + 1;
	n->col = (unsigned)at->column + 1;
	return n;
}

void
ytree_free(struct ynode *n)
{
	struct ynode *next;

	for (; n != NULL; n = next) {
		next = n->next;
		ytree_free(n->child);
		free(n->text);
		free(n->key);
		free(n);
	}
}

const struct ynode *
ytree_get(const struct ynode *map, const char *key)
{
	const struct ynode *n;

	if (map == NULL || map->kind != YN_MAP)
		return NULL;
	for (n = map->child; n != NULL; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

/* The reader of libyaml knows only the byte at which it gave up. */
static void
place_of(const struct reader *r, size_t offset, unsigned *line, unsigned *col)
{
	size_t i;

	*line = *col = 1;
	for (i = 0; i < offset && i < r->len; i++) {
		if (r->buf[i] == '\n') {
			++*line;
			*col = 1;
		} else if (((unsigned char)r->buf[i] & 0xc0) != 0x80) {
			++*col;
		}
	}
}

static void
syntax_error(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;
	unsigned line, col;

	r->failed = true;
	if (y->error == YAML_MEMORY_ERROR)
		fatalx("out of memory");
	if (y->error == YAML_READER_ERROR) {
		place_of(r, y->problem_offset, &line, &col);
		diags_add(r->d, line, col, "%s", y->problem);
		return;
	}
	line = (unsigned)y->problem_mark.line + 1;
	col = (unsigned)y->problem_mark.column + 1;
	if (y->context != NULL)
		diags_add(r->d, line, col, "%s (%s that began at line %u)",
		    y->problem, y->context, (unsigned)y->context_mark.line + 1);
	else
		diags_add(r->d, line, col, "%s", y->problem);
}

/* The next event; -1 once the text cannot be read on. */
static int
next(struct reader *r, yaml_event_t *ev)
{
	if (r->failed)
		return -1;
	if (!yaml_parser_parse(&r->yaml, ev)) {
		syntax_error(r);
		return -1;
	}
	return 0;
}

static void
bad_event(struct reader *r, const yaml_event_t *ev, const char *what)
{
	diags_add(r->d, (unsigned)ev->start_mark.line + 1,
	    (unsigned)ev->start_mark.column + 1, "%s", what);
}

static void
refuse_extras(struct reader *r, const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	}
	if (anchor != NULL)
		bad_event(r, ev, "anchors (&name) are not allowed here");
	if (tag != NULL)
		bad_event(r, ev, "tags (!name) are not allowed here");
}

static struct ynode *
read_scalar(struct reader *r, const yaml_event_t *ev)
{
	const char *value = (const char *)ev->data.scalar.value;
	struct ynode *n = node_new(YN_SCALAR, &ev->start_mark);

	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if ((n->text = strdup(value)) == NULL)
		fatal("out of memory");
	if (strlen(value) != ev->data.scalar.length) {
		bad_event(r, ev, "a NUL byte is not allowed");
		n->kind = YN_BAD;
	}
	return n;
}

static struct ynode *
read_list(struct reader *r, const yaml_event_t *start, unsigned depth)
{
	struct ynode *list = node_new(YN_LIST, &start->start_mark), *n;
	struct ynode **tail = &list->child;
	yaml_event_t ev;

	while (next(r, &ev) == 0) {
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			break;
		}
		n = read_node(r, &ev, depth + 1);
		yaml_event_delete(&ev);
		*tail = n;
		tail = &n->next;
	}
	return list;
}

/* Is the key of a map acceptable?  Adds an error if not. */
static bool
key_ok(struct reader *r, const struct ynode *map, const struct ynode *key)
{
	const struct ynode *old;
	char q[300];

	if (key->kind == YN_BAD)
		return false;
	if (key->kind != YN_SCALAR || key->text[0] == '\0') {
		diags_add(r->d, key->line, key->col, "a key must be a word");
		return false;
	}
	if (strcmp(key->text, "<<") == 0) {
		diags_add(r->d, key->line, key->col,
		    "merge keys (<<) are not allowed here");
		return false;
	}
	if ((old = ytree_get(map, key->text)) != NULL) {
		diags_add(r->d, key->line, key->col,
		    "duplicate key %s, first given at line %u",
		    diag_quote(key->text, q, sizeof(q)), old->key_line);
		return false;
	}
	return true;
}

static struct ynode *
read_map(struct reader *r, const yaml_event_t *start, unsigned depth)
{
	struct ynode *map = node_new(YN_MAP, &start->start_mark), *key, *n;
	struct ynode **tail = &map->child;
	yaml_event_t ev;

	while (next(r, &ev) == 0) {
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			break;
		}
		key = read_node(r, &ev, depth + 1);
		yaml_event_delete(&ev);
		if (next(r, &ev) == -1) {
			ytree_free(key);
			break;
		}
		n = read_node(r, &ev, depth + 1);
		yaml_event_delete(&ev);
		if (!key_ok(r, map, key)) {
			ytree_free(key);
			ytree_free(n);
			continue;
		}
		n->key = key->text;
		n->key_line = key->line;
		n->key_col = key->col;
		key->text = NULL;
		ytree_free(key);
		*tail = n;
		tail = &n->next;
	}
	return map;
}

static struct ynode *
read_node(struct reader *r, yaml_event_t *ev, unsigned depth)
{
	if (depth > YTREE_DEPTH_MAX || ++r->nodes > YTREE_NODES_MAX) {
		bad_event(r, ev, depth > YTREE_DEPTH_MAX ?
		    "nested too deeply" : "too many entries");
		r->failed = true;
		return node_new(YN_BAD, &ev->start_mark);
	}
	refuse_extras(r, ev);
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(r, ev);
	case YAML_SEQUENCE_START_EVENT:
		return read_list(r, ev, depth);
	case YAML_MAPPING_START_EVENT:
		return read_map(r, ev, depth);
	case YAML_ALIAS_EVENT:
		bad_event(r, ev, "aliases (*name) are not allowed here");
		return node_new(YN_BAD, &ev->start_mark);
	default:
		fatalx("unexpected YAML event %d", (int)ev->type);
	}
}

static struct ynode *
read_stream(struct reader *r)
{
	struct ynode *root = NULL;
	yaml_event_t ev;
	yaml_event_type_t type;

	do {
		if (next(r, &ev) == -1)
			break;
		type = ev.type;
		if (type == YAML_DOCUMENT_START_EVENT && root != NULL) {
			bad_event(r, &ev, "only one document is allowed");
			r->failed = true;
		} else if (root == NULL && (type == YAML_SCALAR_EVENT ||
		    type == YAML_MAPPING_START_EVENT ||
		    type == YAML_SEQUENCE_START_EVENT ||
		    type == YAML_ALIAS_EVENT)) {
			root = read_node(r, &ev, 0);
		}
		yaml_event_delete(&ev);
	} while (type != YAML_STREAM_END_EVENT);
	return root;
}

struct ynode *
ytree_parse(const char *buf, size_t len, struct diags *d)
{
	struct reader r = { .d = d, .buf = buf, .len = len };
	const yaml_mark_t begin = { 0, 0, 0 };
	struct ynode *root = NULL;

	if (!yaml_parser_initialize(&r.yaml))
		fatalx("out of memory");
	/* Without this a byte order mark switches to UTF-16. */
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)buf, len);
	if (len > YTREE_BYTES_MAX)
		diags_add(d, 0, 0, "larger than %d bytes", YTREE_BYTES_MAX);
	else
		root = read_stream(&r);
	/* What lies around a mistake of syntax would be misjudged. */
	if (root != NULL && r.failed)
		root->kind = YN_BAD;
	yaml_parser_delete(&r.yaml);

	if (root != NULL && root->kind == YN_SCALAR && root->plain &&
	    root->text[0] == '\0') {
		ytree_free(root);
		root = NULL;
	}
	if (root == NULL)
		root = node_new(YN_MAP, &begin);
	if (root->kind != YN_MAP && root->kind != YN_BAD) {
		diags_add(d, root->line, root->col,
		    "expected \"key: value\" lines");
		root->kind = YN_BAD;
	}
	return root;
}

char *
ytree_read_file(const char *path, size_t *len, struct diags *d)
{
	struct stat st;
	char *buf = NULL;
	ssize_t n = 0;
	int fd;

	/* Not to hang on a FIFO of that name. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1 || fstat(fd, &st) == -1) {
		diags_add(d, 0, 0, "cannot open: %s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		diags_add(d, 0, 0, "not a regular file");
	} else if (st.st_size > YTREE_BYTES_MAX) {
		diags_add(d, 0, 0, "larger than %d bytes", YTREE_BYTES_MAX);
	} else if ((buf = malloc(YTREE_BYTES_MAX + 1)) == NULL) {
		fatal("out of memory");
	} else {
		*len = 0;
		do {
			n = read(fd, buf + *len, YTREE_BYTES_MAX + 1 - *len);
			if (n > 0)
				*len += (size_t)n;
		} while (n > 0 || (n == -1 && errno == EINTR));
		if (n == -1) {
			diags_add(d, 0, 0, "cannot read: %s", strerror(errno));
			free(buf);
			buf = NULL;
		}
	}
	if (fd != -1)
		close(fd);
	return buf;
}
