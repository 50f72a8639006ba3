/** Fixed places in the lowest 32 KiB, which the kernels use while they run and nobody else ever: see ../arena.ts for the whole map. */

/** 4 groups of sub-blocks, each GROUP_BYTES: what the searches of the K-quants work on (sub-blocks.ts). */
export const GROUPS: usize = 1024
export const GROUP_BYTES: usize = 2560
/** One f32 per sub-block: its scale, and its min. */
export const SCALES: usize = GROUPS + 4 * GROUP_BYTES
export const MINS: usize = SCALES + 64
/** One byte per element of a super-block: its level, in the order of elements. */
export const LEVELS: usize = MINS + 64
/** Rows of B, packed for the inner loop of low-rank.ts: 4 rows of a rank up to 1024. */
export const PACKED_ROWS: usize = 16384
