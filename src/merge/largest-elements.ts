/**
 * Which elements of a matrix are its largest. Where elements are equally large (16-bit adapters have many such) the choice is part of what PEFT's pruning
 * gives, so it is made as torch makes it on a CPU: by a selection whose steps depend on the order of the elements, not by position.
 *
 * Law: ATen/native/TopKImpl.h `topk_impl_loop` (torch 2.15): partial_sort where count · 64 ≤ elements, else nth_element, both as libstdc++ has them:
 * Musser's introspective selection with the median of three, binary heaps. Equal to torch.topk on every test vector (merge-prune).
 */

/** Elements by magnitude: keys and their positions in the matrix, moved together. */
export interface Ranking {
  readonly keys: Float32Array
  readonly ids: Uint32Array
}

/**
 * Brings the `count` elements of largest magnitude to the front of a ranking, in no order.
 * @param values   none of them NaN
 * @param ranking  as long as the values; overwritten
 */
export function rankLargest(values: Float32Array, count: number, ranking: Ranking): void {
  for (let i = 0; i < values.length; i++) {
    ranking.keys[i] = Math.abs(values[i]!)
    ranking.ids[i] = i
  }
  if (count === 0 || count >= values.length) return
  if (count * 64 <= values.length) heapSelect(ranking, 0, count, values.length)
  else select(ranking, count - 1)
}

function swap({ keys, ids }: Ranking, i: number, j: number): void {
  const [key, id] = [keys[i]!, ids[i]!]
  move({ keys, ids }, j, i)
  keys[j] = key
  ids[j] = id
}

function move({ keys, ids }: Ranking, from: number, to: number): void {
  keys[to] = keys[from]!
  ids[to] = ids[from]!
}

/** Brings the elements before position `nth` of the whole order to the front. */
function select(ranking: Ranking, nth: number): void {
  let [first, end] = [0, ranking.keys.length]
  let depth = 2 * (31 - Math.clz32(end))
  for (; end - first > 3; depth--) {
    if (depth === 0) {
      heapSelect(ranking, first, nth + 1, end)
      return swap(ranking, first, nth)
    }
    const cut = partition(ranking, first, end)
    if (cut <= nth) first = cut
    else end = cut
  }
  insertionSort(ranking, first, end)
}

/** Parts a range by the median of three of its elements. @returns where the second part begins */
function partition(ranking: Ranking, first: number, end: number): number {
  const { keys } = ranking
  swap(ranking, first, medianOf(keys, first + 1, first + ((end - first) >> 1), end - 1))
  const pivot = keys[first]!
  let [low, high] = [first + 1, end]
  for (; ; low++) {
    while (keys[low]! > pivot) low++
    high--
    while (pivot > keys[high]!) high--
    if (low >= high) return low
    swap(ranking, low, high)
  }
}

function medianOf(keys: Float32Array, a: number, b: number, c: number): number {
  const [x, y, z] = [keys[a]!, keys[b]!, keys[c]!]
  if (x > y) return y > z ? b : x > z ? c : a
  return x > z ? a : y > z ? c : b
}

function insertionSort(ranking: Ranking, first: number, end: number): void {
  const { keys, ids } = ranking
  for (let i = first + 1; i < end; i++) {
    const [key, id] = [keys[i]!, ids[i]!]
    let at = i
    for (; at > first && key > keys[at - 1]!; at--) move(ranking, at - 1, at)
    keys[at] = key
    ids[at] = id
  }
}

/** Brings the largest of [first, end) to [first, middle), as a heap whose top is the smallest of them. */
function heapSelect(ranking: Ranking, first: number, middle: number, end: number): void {
  const { keys, ids } = ranking
  const size = middle - first
  for (let parent = (size - 2) >> 1; parent >= 0; parent--) sink(ranking, first, parent, size, keys[first + parent]!, ids[first + parent]!)
  for (let i = middle; i < end; i++) {
    if (keys[i]! <= keys[first]!) continue
    const [key, id] = [keys[i]!, ids[i]!]
    move(ranking, first, i)
    sink(ranking, first, 0, size, key, id)
  }
}

/** Fills the hole at `top` with an element: down along the smaller children to a leaf, then up to its place. */
function sink(ranking: Ranking, first: number, top: number, size: number, key: number, id: number): void {
  const { keys, ids } = ranking
  let hole = top
  for (let child = 2 * hole + 2; child <= size; child = 2 * hole + 2) {
    if (child === size || keys[first + child]! > keys[first + child - 1]!) child--
    move(ranking, first + child, first + hole)
    hole = child
  }
  for (let parent = (hole - 1) >> 1; hole > top && keys[first + parent]! > key; parent = (hole - 1) >> 1) {
    move(ranking, first + parent, first + hole)
    hole = parent
  }
  keys[first + hole] = key
  ids[first + hole] = id
}
