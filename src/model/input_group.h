/* input_group.h - the sets of linear layers that take the same input: of a Llama's block queries, keys and values; the
 * projection behind attention; gate and up; down; and, last of all, the head. Of experts each is a group of its own,
 * since each sees other tokens. */
#ifndef QTOP_INPUT_GROUP_H
#define QTOP_INPUT_GROUP_H

#include "model.h"

enum { INPUT_GROUP_TENSORS = 12 };

struct input_group {
    int block;   /* -1: the head */
    int step;    /* of the block: the first one that reads the input */
    int expert;  /* -1: not of experts */
};

/* Finds the groups of a model, whose layers have their steps. False when memory is short. */
bool input_groups_make(struct model *model, struct error *error);

/* The tensors of a group; returns how many. */
size_t input_group_tensors(const struct model *model, size_t group, int tensors[INPUT_GROUP_TENSORS]);

/* The group whose input a tensor multiplies, or -1. */
int input_group_of(const struct model *model, int tensor);

/* The first group that takes the same input as this one does, of whatever tokens: experts share theirs with each
 * other and with the router. */
size_t input_group_source(const struct model *model, size_t group);

#endif
