# Ordered trees. Nothing here knows what a call or an agent is.
#
# A tree is a treap: ordered by (tier, key, seq) like a search tree and by a hash of seq like a heap, so its depth is
# about 2 ln n whatever the order of arrival, and the same events give the same tree. Each node knows how many are below
# on its left (places in the queue) and the earliest `since` on either side (the first call that waited long enough), so
# that a change looks at the nodes on its way and at no others. All O(log n).


cdef inline bint before(Place* a, Place* b) noexcept nogil:
    if a.tier != b.tier:
        return a.tier < b.tier
    if a.key != b.key:
        return a.key < b.key
    return a.seq < b.seq


cdef inline uint32_t heat(Node* n) noexcept nogil:
    return <uint32_t>((n.place.seq * <uint64_t>0x9E3779B97F4A7C15) >> 32)


cdef inline double tree_low(Node* n) noexcept nogil:
    return lesser(n.since, lesser(n.low_left, n.low_right))


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
    """Rotate i above its parent."""
    cdef int32_t parent = p[i].up, inner
    tree_hang(p, root, p[parent].up, parent, i)
    if p[parent].left == i:
        inner = p[i].right
        p[parent].left, p[parent].low_left = inner, p[i].low_right
        p[parent].n_left -= p[i].n_left + 1
        p[i].right, p[i].low_right = parent, tree_low(&p[parent])
    else:
        inner = p[i].left
        p[parent].right, p[parent].low_right = inner, p[i].low_left
        p[i].n_left += p[parent].n_left + 1
        p[i].left, p[i].low_left = parent, tree_low(&p[parent])
    if inner:
        p[inner].up = parent
    p[parent].up = i


cdef void tree_add(Node* p, int32_t* root, int32_t i) noexcept nogil:
    cdef int32_t at = root[0], above = 0
    cdef bint is_left = False
    p[i].left = p[i].right = p[i].n_left = 0
    p[i].low_left = p[i].low_right = INFINITY
    while at:
        above = at
        is_left = before(&p[i].place, &p[at].place)
        if is_left:
            p[at].n_left += 1
            p[at].low_left = lesser(p[at].low_left, p[i].since)
            at = p[at].left
        else:
            p[at].low_right = lesser(p[at].low_right, p[i].since)
            at = p[at].right
    p[i].up = above
    if above == 0:
        root[0] = i
    elif is_left:
        p[above].left = i
    else:
        p[above].right = i
    while p[i].up and heat(&p[p[i].up]) < heat(&p[i]):
        tree_lift(p, root, i)


cdef void tree_drop(Node* p, int32_t* root, int32_t i) noexcept nogil:
    cdef int32_t left, right, child, at
    cdef double low = INFINITY
    while p[i].left and p[i].right:
        left, right = p[i].left, p[i].right
        tree_lift(p, root, left if heat(&p[left]) > heat(&p[right]) else right)
    child = p[i].left if p[i].left else p[i].right
    if child:
        low = lesser(p[i].low_left, p[i].low_right)
        p[child].up = p[i].up
    at = p[i].up
    if at == 0:
        root[0] = child
    while at:  # up to the root: one fewer, and perhaps another earliest
        if p[at].left == i:
            p[at].left, p[at].low_left = child, low
            p[at].n_left -= 1
        else:
            p[at].right, p[at].low_right = child, low
        low = tree_low(&p[at])
        i = child = at
        at = p[at].up


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
    while at and tree_low(&p[at]) + wait_s <= now:
        if p[at].low_left + wait_s <= now:
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
            n += 1 + p[at].n_left
            at = p[at].right
        else:
            at = p[at].left
    return n
