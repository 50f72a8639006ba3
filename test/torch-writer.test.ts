/** State dicts that are written for torch: laid out before any data is there, complete when it is, the same bytes whoever writes them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { boundedSource, type ByteSource } from '../src/core/bytes.js'
import { crc32, crc32Combined } from '../src/core/crc32.js'
import { UnsupportedError } from '../src/core/errors.js'
import { layOutCheckpoint } from '../src/formats/torch/checkpoint-writer.js'
import { readCheckpoint } from '../src/formats/torch/checkpoint.js'
import { readZipDirectory } from '../src/formats/torch/zip-directory.js'
import { execute, planMerge } from '../src/index.js'
import { readSafetensors, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { runCli } from './support/run-cli.js'
import { seededTensor, writeAdapter } from './support/tiny-models.js'
import { torchFile } from './support/torch-file.js'
import { readTorchFile } from './support/torch-output.js'
import { workspace } from './support/workspace.js'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

/** One tensor of every type that torch has, and every odd shape. */
const WEIGHTS: Readonly<Record<string, PlainTensor>> = {
  'model.a.weight': seededTensor(1, 'F32', [40, 24]),
  'model.b.weight': seededTensor(2, 'BF16', [24, 40]),
  half: seededTensor(3, 'F16', [3, 5]),
  scalar: seededTensor(4, 'F32', []),
  empty: { dtype: 'F32', shape: [0, 4], bytes: bytes() },
  'unié 中': { dtype: 'U8', shape: [5], bytes: bytes(0, 1, 2, 3, 255) },
  ...Object.fromEntries(
    (
      [
        ['BOOL', 1],
        ['I8', 1],
        ['F8_E4M3', 1],
        ['F8_E5M2', 1],
        ['F8_E8M0', 1],
        ['F8_E4M3FNUZ', 1],
        ['F8_E5M2FNUZ', 1],
        ['I16', 2],
        ['U16', 2],
        ['I32', 4],
        ['U32', 4],
        ['I64', 8],
        ['U64', 8],
        ['F64', 8],
        ['C64', 8],
      ] as const
    ).map(([dtype, size]) => [dtype, { dtype, shape: [2, 1], bytes: Uint8Array.from({ length: 2 * size }, (_, i) => (dtype === 'BOOL' ? i : i + 1)) }]),
  ),
}

describe('state dicts for torch', () => {
  it('hold every tensor of the folder in every type, whatever the threads and tiles', async (t) => {
    const root = workspace(t, 'torch-writer')
    writeSafetensors(join(root, 'base.safetensors'), WEIGHTS)
    const adapter = writeAdapter(join(root, 'adapter'), { modules: { 'model.a': [40, 24], 'model.b': [24, 40] } })
    const merge = async (out: string, tileElements: number, threads: number): Promise<string> => {
      await execute(await planMerge({ base: join(root, 'base.safetensors'), adapters: [{ path: adapter }], out: join(root, out), tileElements }), { threads })
      return join(root, out)
    }
    const expected = readSafetensors(await merge('plain.safetensors', 1000, 1))
    const first = await merge('1.pt', 1_000_000, 1)
    const read = await readTorchFile(first)
    assert.deepEqual([...read.keys()].sort(), [...expected.keys()].sort())
    for (const [name, { dtype, shape, bytes: own }] of expected) assert.deepEqual(read.get(name), { dtype, shape, bytes: own }, name)
    for (const [out, tile, threads] of [
      ['2.pth', 64, 3],
      ['3.bin', 100, 2],
    ] as const)
      // prettier-ignore
      assert.deepEqual(readFileSync(await merge(out, tile, threads)), readFileSync(first), out)
  })

  it('are the bytes that torch 2.15 was seen to load, with weights_only and mmap too', () => {
    // checked by hand: torch.load(path, weights_only=True, mmap=True) of these bytes gives the tensors of the list
    const tensors = Object.entries(WEIGHTS).map(([name, { dtype, shape }]) => ({ name, dtype: dtype as 'F32', shape }))
    const layout = layOutCheckpoint(tensors)
    const file = new Uint8Array(layout.fileSize)
    file.set(layout.header)
    for (const { offset, bytes: piece } of layout.pieces) file.set(piece, offset)
    for (const [name, offset] of layout.offsets) {
      const { bytes: data = bytes() } = WEIGHTS[name] ?? {}
      file.set(data, offset)
      assert.equal(offset % 64, 0, name)
      for (const place of layout.checksums.get(name) ?? []) new DataView(file.buffer).setUint32(place, zlibCrc32(data), true)
    }
    if (process.env['KEEP_TORCH_FILE'] !== undefined) writeFileSync(process.env['KEEP_TORCH_FILE'], file)
    assert.equal(createHash('sha256').update(file).digest('hex'), 'b881060eee2dc420adcf3d6117a6dac10d91a15d3b9d1e14545565c92edf16fa')
  })

  it('go to the large form where numbers do not fit, and are read back so', async () => {
    const tensors = [
      { name: 'small', dtype: 'F32', shape: [3] },
      { name: 'large', dtype: 'U8', shape: [5_000_000_000] },
      { name: 'beyond', dtype: 'BF16', shape: [2, 2] },
    ] as const
    const layout = layOutCheckpoint(tensors)
    const read = await readCheckpoint(sparse(layout))
    assert.deepEqual(
      read.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      tensors.map((tensor) => ({ ...tensor })),
    )
    for (const { name, source } of read.tensors) assert.equal(source.kind === 'member' ? source.offset : -1, layout.offsets.get(name), name)
    assert.ok((layout.offsets.get('beyond') ?? 0) > 0xffff_ffff)
  })

  it('may have more tensors than a common archive counts', async () => {
    const tensors = Array.from({ length: 65_533 }, (_, i) => ({ name: `layer.${i}`, dtype: 'F32', shape: [1] }) as const)
    const { entries } = await readZipDirectory(sparse(layOutCheckpoint(tensors)))
    assert.equal(entries.length, tensors.length + 3)
    assert.equal(entries.at(-2)?.name, 'archive/data/65532')
  })

  it('refuse types that torch has not, and names that UTF-8 has not', () => {
    assert.throws(() => layOutCheckpoint([{ name: 'w', dtype: 'F4', shape: [2] }]), UnsupportedError)
    assert.throws(() => layOutCheckpoint([{ name: '\ud800', dtype: 'F32', shape: [2] }]), UnsupportedError)
  })

  it('never take the place of an adapter whose OUT was forgotten', async (t) => {
    const root = workspace(t, 'torch-out')
    writeSafetensors(join(root, 'base.safetensors'), { 'w.weight': seededTensor(1, 'F32', [4, 3]) })
    const adapter = join(root, 'lora.pt')
    writeFileSync(adapter, torchFile([{ name: 'w.lora_A', shape: [1, 3], key: '0' }], { 0: new Uint8Array(12) }))
    const before = readFileSync(adapter)
    const peft = writeAdapter(join(root, 'peft'), { modules: { w: [4, 3] } })
    const { code, stderr } = await runCli('lora-merge', [join(root, 'base.safetensors'), peft, adapter, '--force'])
    assert.equal(code, 2)
    assert.match(stderr, /OUT is missing/)
    assert.deepEqual(readFileSync(adapter), before)
  })

  it('leave nothing when the run fails', async (t) => {
    const root = workspace(t, 'torch-fails')
    writeSafetensors(join(root, 'base.safetensors'), { 'w.weight': seededTensor(1, 'F32', [4, 3]) })
    const adapter = writeAdapter(join(root, 'adapter'), { modules: { w: [4, 3] }, factor: 1e30 })
    await assert.rejects(
      planMerge({ base: join(root, 'base.safetensors'), adapters: [{ path: adapter }], out: join(root, 'out.pt') }).then((plan) => execute(plan)),
    )
    assert.equal(existsSync(join(root, 'out.pt')), false)
  })
})

describe('CRC-32s', () => {
  it('of two runs of bytes give that of both together', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        assert.equal(crc32Combined(crc32(a), crc32(b), b.length), zlibCrc32(Buffer.concat([a, b])))
      }),
    )
  })

  it('hold for lengths beyond 32 bits: zeros after nothing', () => {
    // of 2^33 + 5 zero bytes, by doubling
    let [crc, length] = [zlibCrc32(bytes(0)), 1]
    while (length < 2 ** 33) [crc, length] = [crc32Combined(crc, crc, length), length * 2]
    const both = crc32Combined(zlibCrc32(new Uint8Array(5)), crc, length)
    assert.equal(both, crc32Combined(crc, zlibCrc32(new Uint8Array(5)), 5))
  })
})

/** A file of the layout's bytes and zeros, not held in memory. */
function sparse({ header, pieces, fileSize }: ReturnType<typeof layOutCheckpoint>): ByteSource {
  const all = [{ offset: 0, bytes: header }, ...pieces]
  return boundedSource({ kind: 'file', name: 'sparse.pt', path: '', byteLength: fileSize, modifiedMs: 0, inode: 0 }, async (into, position) => {
    into.fill(0)
    for (let i = lastBefore(all, position); i < all.length && (all[i]?.offset ?? 0) < position + into.byteLength; i++) {
      const { offset = 0, bytes: piece = bytes() } = all[i] ?? {}
      const [from, to] = [Math.max(offset, position), Math.min(offset + piece.byteLength, position + into.byteLength)]
      if (from < to) into.set(piece.subarray(from - offset, to - offset), from - position)
    }
  })
}

/** The last piece that begins at a position or before it. */
function lastBefore(pieces: readonly { readonly offset: number }[], position: number): number {
  let [low, high] = [0, pieces.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((pieces[middle]?.offset ?? 0) <= position) low = middle
    else high = middle - 1
  }
  return low
}
