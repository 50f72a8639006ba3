/** Fixed places in the lowest 32 KiB, which the kernels use while they run and nobody else ever: see ../arena.ts for the whole map. */

/** Sums of squares and the largest magnitude of a tile (sums.ts). */
export const SUMS: usize = 64
/** Two groups of 4 rows x 8 columns, 128 bytes each: products, and weights at an edge (low-rank.ts, sums.ts). */
export const PRODUCTS: usize = 256
export const EDGE: usize = PRODUCTS + 128
/** 4 groups of sub-blocks, each GROUP_BYTES: what the searches of the K-quants work on (sub-blocks.ts). */
export const GROUPS: usize = 1024
export const GROUP_BYTES: usize = 2560
/** One f32 per sub-block: its scale, and its min. */
export const SCALES: usize = GROUPS + 4 * GROUP_BYTES
export const MINS: usize = SCALES + 64
/** One byte per element of a super-block: its level, in the order of elements. */
export const LEVELS: usize = MINS + 64
/** Room behind, which vectors at the end of the levels may touch. */
const LEVELS_BYTES: usize = 256 + 64
/** One byte per sub-block: the level of its scale, and of its min. */
export const SCALE_LEVELS: usize = LEVELS + LEVELS_BYTES
export const MIN_LEVELS: usize = SCALE_LEVELS + 16
/** One f32 per sub-block: how much it weighs when scales are searched (search-scales.ts); and three vectors of that search. */
export const SCALE_WEIGHTS: usize = MIN_LEVELS + 16
export const TRIALS: usize = SCALE_WEIGHTS + 64

/** Columns of a product, and of what is measured, that are done for all rows before the next ones: it is the order in which norms are summed. */
export const PANEL: usize = 512
