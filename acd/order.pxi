# Ordered trees. Nothing here knows what a call or an agent is.
#
# A tree is a treap: ordered by (tier, key, seq) like a search tree and by a hash of seq like a heap, so its depth is
# about 2 ln n whatever the order of arrival, and the same events give the same tree. Each node knows the size of what
# is below it (places in the queue) and the earliest `since` (the first call that waited long enough). All O(log n).


cdef inline bint before(Place* a, Place* b) noexcept nogil:
    if a.tier != b.tier:
        return a.tier < b.tier
    if a.key != b.key:
        return a.key < b.key
    return a.seq < b.seq


cdef inline void tree_sum(Node* p, int32_t i) noexcept nogil:
    cdef int32_t left = p[i].left, right = p[i].right
    cdef double low = p[i].since
    p[i].size = 1 + p[left].size + p[right].size
    if left and p[left].low < low:
        low = p[left].low
    if right and p[right].low < low:
        low = p[right].low
    p[i].low = low


cdef inline void tree_hang(Node* p, int32_t* root, int32_t above, int32_t old, int32_t new) noexcept nogil:
    if above == 0:
        root[0] = new
    elif p[above].left == old:
        p[above].left = new
    else:
        p[above].right = new
    if new:
        p[new].up = above


cdef void tree_lift(Node* p, int32_t* root, int32_t i) noexcept nogil:
    """Rotate i above its parent. The other child of the parent is looked at only if the earliest may have gone up."""
    cdef int32_t parent = p[i].up, above = p[parent].up, inner, size = p[parent].size
    cdef double low = p[parent].low
    cdef bint earliest = p[i].low == low
    tree_hang(p, root, above, parent, i)
    if p[parent].left == i:
        inner = p[i].right
        p[parent].left = inner
        p[i].right = parent
    else:
        inner = p[i].left
        p[parent].right = inner
        p[i].left = parent
    if inner:
        p[inner].up = parent
    p[parent].up = i
    p[parent].size = size - p[i].size + p[inner].size
    p[i].size = size
    p[i].low = low
    if earliest:
        tree_sum(p, parent)


cdef void tree_add(Node* p, int32_t* root, int32_t i) noexcept nogil:
    cdef int32_t at = root[0], above = 0
    p[i].left = p[i].right = 0
    p[i].size = 1
    p[i].low = p[i].since
    p[i].heat = <uint32_t>((p[i].place.seq * <uint64_t>0x9E3779B97F4A7C15) >> 32)
    while at:
        above = at
        p[at].size += 1
        if p[i].since < p[at].low:
            p[at].low = p[i].since
        at = p[at].left if before(&p[i].place, &p[at].place) else p[at].right
    p[i].up = above
    if above == 0:
        root[0] = i
    elif before(&p[i].place, &p[above].place):
        p[above].left = i
    else:
        p[above].right = i
    while p[i].up and p[p[i].up].heat < p[i].heat:
        tree_lift(p, root, i)


cdef void tree_drop(Node* p, int32_t* root, int32_t i) noexcept nogil:
    cdef int32_t left, right, child, at
    cdef double since = p[i].since
    while p[i].left and p[i].right:
        left, right = p[i].left, p[i].right
        tree_lift(p, root, left if p[left].heat > p[right].heat else right)
    child = p[i].left if p[i].left else p[i].right
    at = p[i].up
    tree_hang(p, root, at, i, child)
    while at and p[at].low == since and since < INFINITY:  # it may have been the earliest
        tree_sum(p, at)
        at = p[at].up
    while at:
        p[at].size -= 1
        at = p[at].up
    p[i].left = p[i].right = p[i].up = 0


cdef inline int32_t tree_first(Node* p, int32_t root) noexcept nogil:
    if root:
        while p[root].left:
            root = p[root].left
    return root


cdef inline int32_t tree_next(Node* p, int32_t i) noexcept nogil:
    if p[i].right:
        return tree_first(p, p[i].right)
    while p[i].up and p[p[i].up].right == i:
        i = p[i].up
    return p[i].up


cdef int32_t tree_first_waited(Node* p, int32_t at, double wait_s, double now) noexcept nogil:
    """First in order that has waited at least wait_s."""
    while at and p[at].low + wait_s <= now:
        if p[at].left and p[p[at].left].low + wait_s <= now:
            at = p[at].left
        elif p[at].since + wait_s <= now:
            return at
        else:
            at = p[at].right
    return 0


cdef int32_t tree_before(Node* p, int32_t at, Place* place) noexcept nogil:
    """How many stand before that place."""
    cdef int32_t n = 0
    while at:
        if before(&p[at].place, place):
            n += 1 + p[p[at].left].size
            at = p[at].right
        else:
            at = p[at].left
    return n
