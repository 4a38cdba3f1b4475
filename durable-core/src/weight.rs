//! What things weigh in memory, by estimate: allocations of their own, not the value itself.

/// The bytes of a B-tree with so many entries. Its nodes have eleven places, of which a little more than
/// half are taken where keys come in ascending order, as they do here.
pub(crate) const fn tree<K, V>(entries: usize) -> usize {
    const PLACES: usize = 11;
    let places = match entries {
        0 => 0,
        1..=PLACES => PLACES,
        more => more * PLACES / 6,
    };
    places * (size_of::<K>() + size_of::<V>())
}

/// What an allocation takes besides what is asked for, and what shares it.
pub(crate) const SHARED: usize = 40;
