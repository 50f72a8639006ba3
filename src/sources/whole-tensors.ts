/** Reads small tensors that decide structure, whole: shapes, descriptions in JSON. Neighbours in a file are read together. */
import { FormatError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { openDescriptor } from './files.js'

/** What a plan may read before it is made (docs/architecture.md). */
const MOST_BYTES = 1 << 20
const MOST_BYTES_TOGETHER = 1 << 26
const GAP_BYTES = 4096 // reading this much in vain costs less than a read more

/** @throws FormatError when they are larger than what decides structure */
export async function readWholeTensors(tensors: readonly TensorInfo[]): Promise<ReadonlyMap<TensorInfo, Uint8Array>> {
  const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const large = tensors.find(({ byteLength }) => byteLength > MOST_BYTES)
  if (large !== undefined || total > MOST_BYTES_TOGETHER)
    throw new FormatError(`is ${large?.byteLength ?? total} bytes, far too large for what it says.`, {
      file: large?.source.name ?? '',
      tensor: large?.name ?? '',
    })
  const bytes = new Map<TensorInfo, Uint8Array>()
  for (const run of runsOf(tensors)) {
    const [first, last] = [run[0], run.at(-1)]
    if (first === undefined || last === undefined) continue
    const all = new Uint8Array(last.offset + last.byteLength - first.offset)
    await openDescriptor(first.source).read(all, first.offset)
    for (const tensor of run) bytes.set(tensor, all.subarray(tensor.offset - first.offset, tensor.offset - first.offset + tensor.byteLength))
  }
  return bytes
}

/** Tensors of one source that lie close together, in the order in which they lie. */
function runsOf(tensors: readonly TensorInfo[]): TensorInfo[][] {
  const runs: TensorInfo[][] = []
  const sorted = [...tensors].sort((a, b) => (a.source.name < b.source.name ? -1 : a.source.name > b.source.name ? 1 : a.offset - b.offset))
  for (const tensor of sorted) {
    const run = runs.at(-1)
    const before = run?.at(-1)
    const isNear = before !== undefined && before.source === tensor.source && tensor.offset - (before.offset + before.byteLength) <= GAP_BYTES
    const spans = run?.[0] === undefined ? 0 : tensor.offset + tensor.byteLength - run[0].offset
    if (isNear && spans <= MOST_BYTES) run?.push(tensor)
    else runs.push([tensor])
  }
  return runs
}
