/** PyTorch checkpoints made byte by byte: what is read of them, what is refused, and that nothing else can happen. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { memorySource } from '../src/core/bytes.js'
import { FormatError, ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { checkMember } from '../src/core/members.js'
import type { TensorInfo } from '../src/core/tensor-info.js'
import { modelTensors, readCheckpoint, type TorchCheckpoint } from '../src/formats/torch/checkpoint.js'
import { GLOBALS } from '../src/formats/torch/pickle-globals.js'
import { openDescriptor } from '../src/sources/files.js'
import {
  dict,
  global,
  legacyFile,
  pickle,
  pickledTensor,
  pickledText,
  torchFile,
  tuple,
  zipFile,
  type PickledTensor,
  type ZipRecord,
} from './support/torch-file.js'

const FOUR = floats([1, 2, 3, 4])
const W: PickledTensor = { name: 'w', shape: [2, 2], key: '0' }

describe('PyTorch checkpoints', () => {
  it('give tensors by name, in the order of the pickle, as packed bytes', async () => {
    const six = floats([0, 1, 2, 3, 4, 5])
    const { tensors } = await open(
      torchFile(
        [
          { name: 'z', shape: [2, 3], key: 'a' },
          { name: 'transposed', shape: [3, 2], strides: [1, 3], key: 'a', count: 6 },
          { name: 'slice', shape: [2], offset: 4, key: 'a', count: 6 },
          { name: 'step', shape: [3], strides: [2], key: 'a', count: 6 },
          { name: 'expanded', shape: [2, 2], strides: [0, 1], key: 'a', count: 6 },
          { name: 'scalar', shape: [], offset: 5, key: 'a', count: 6 },
          { name: 'empty', shape: [0, 3], key: 'a', count: 6 },
          { name: '__proto__', shape: [1], key: 'a', count: 6 },
        ],
        { a: six },
      ),
    )
    const read = new Map<string, number[]>()
    for (const tensor of tensors) read.set(tensor.name, await valuesOf(tensor))
    assert.deepEqual(
      [...read],
      [
        ['z', [0, 1, 2, 3, 4, 5]],
        ['transposed', [0, 3, 1, 4, 2, 5]],
        ['slice', [4, 5]],
        ['step', [0, 2, 4]],
        ['expanded', [0, 1, 0, 1]],
        ['scalar', [5]],
        ['empty', []],
        ['__proto__', [0]],
      ],
    )
  })

  it('read alike from stored and deflated archives, of either byte order, under any folder, and from legacy files', async () => {
    const tensors = [W, { ...W, name: 't', strides: [1, 2] }]
    const big = FOUR.slice()
    for (let i = 0; i < 16; i += 4) big.subarray(i, i + 4).reverse()
    for (const file of [
      torchFile(tensors, { 0: FOUR }),
      torchFile(tensors, { 0: FOUR }, { deflated: true }),
      torchFile(tensors, { 0: FOUR }, { top: 'a/модель v1.0' }),
      torchFile(tensors, { 0: big }, { byteOrder: 'big' }),
      torchFile(tensors, { 0: big }, { byteOrder: 'big', deflated: true }),
      legacyFile(tensors, { 0: { bytes: FOUR, count: 4 } }),
    ]) {
      const found = (await open(file)).tensors
      assert.deepEqual(found.map(({ name, dtype, shape }) => [name, dtype, shape]), [['w', 'F32', [2, 2]], ['t', 'F32', [2, 2]]]) // prettier-ignore
      assert.deepEqual(await Promise.all(found.map(valuesOf)), [
        [1, 2, 3, 4],
        [1, 3, 2, 4],
      ])
    }
  })

  it('find the model in a trainer’s checkpoint, and name everything by its keys', async () => {
    const tensors = [{ ...W, name: 'optimizer/0/exp_avg' }, { ...W, name: 'state_dict/layer/w' }, { ...W, name: 'state_dict/b' }] // prettier-ignore
    const checkpoint = await open(torchFile(tensors, { 0: FOUR }))
    assert.deepEqual(names(checkpoint.tensors), ['optimizer.0.exp_avg', 'state_dict.b', 'state_dict.layer.w'])
    assert.deepEqual(names(modelTensors(checkpoint)), ['b', 'layer.w'])
    const model = await open(torchFile([{ ...W, name: 'model/w' }], { 0: FOUR }))
    assert.deepEqual(names(modelTensors(model)), ['w'])
    const stateDict = await open(torchFile([{ ...W, name: 'model/w' }, W], { 0: FOUR }))
    assert.deepEqual(names(modelTensors(stateDict)), ['w', 'model.w'])
  })

  it('are checked against the checksum of each record', async () => {
    const records = (crc?: number): ZipRecord[] => [
      { name: 'x/data.pkl', data: pickle(dict([W])) },
      { name: 'x/data/0', data: FOUR, ...(crc === undefined ? {} : { crc }) },
    ]
    const good = await open(zipFile(records()))
    for (const member of good.members) await checkMember(member, openDescriptor(member.container))
    const bad = await open(zipFile(records(7)))
    const member = bad.members.find(({ part }) => part === 'x/data/0')
    assert.ok(member !== undefined)
    await assert.rejects(checkMember(member, openDescriptor(member.container)), (error) => error instanceof FormatError && /CRC-32 is \w{8}, the archive says 00000007/.test(error.message)) // prettier-ignore
  })
})

describe('what a pickle may do', () => {
  it('is nothing: every global that is not on the list is refused, wherever it stands', async () => {
    for (const [module, name] of [
      ['os', 'system'],
      ['builtins', 'eval'],
      ['torch', 'toString'],
      ['__proto__', 'constructor'],
      ['torch', 'hub.load'],
      ['collections', 'OrderedDict '],
      ['', ''],
      ['torch.storage', '_load_from_bytes'],
    ] as const)
      // prettier-ignore
      for (const body of [
        Buffer.concat([global(module, name), tuple([pickledText('touch /tmp/x')]), Buffer.from('R')]),
        Buffer.concat([Buffer.from('}'), pickledText('w'), global(module, name), Buffer.from('s')]),
        Buffer.concat([global(module, name), Buffer.from('0}')]),
      ])
        await refuses(archive(body), FormatError, /refuses global ".*nothing was run/)
  })

  it('is decided by one frozen table', () => {
    assert.ok(GLOBALS.size < 100)
    for (const [name, row] of GLOBALS) assert.ok(Object.isFrozen(row) && /^[\w.]+ \w+$/.test(name), name)
  })

  it('names honest mistakes as such', async () => {
    await refuses(archive(Buffer.concat([global('torch.nn.modules.linear', 'Linear'), Buffer.from(')\x81}b', 'latin1')])), UnsupportedError, /state_dict\(\)/)
    await refuses(archive(global('argparse', 'Namespace')), UnsupportedError, /settings of a training/)
    await refuses(archive(global('torch._utils', '_rebuild_sparse_tensor')), UnsupportedError, /sparse tensor/)
  })

  it('cannot make the reader slow, deep or large', async () => {
    const nested = Buffer.concat([Buffer.from('}X\x01\0\0\0a'.repeat(100), 'latin1'), Buffer.from(`}${'s'.repeat(100)}`)])
    await refuses(archive(nested), FormatError, /nested deeper than 64/)
    const laughs = [Buffer.from('}q\0', 'latin1')]
    for (let level = 0; level < 30; level++) {
      const items = Array.from({ length: 10 }, (_, i) => Buffer.concat([pickledText(String(i)), Buffer.from([0x68, level])]))
      laughs.push(Buffer.concat([Buffer.from('}('), ...items, Buffer.from([0x75, 0x71, level + 1])]))
    }
    // the last dict, without those that it shares below it on the stack
    const body = Buffer.concat([...laughs.flatMap((one) => [one, Buffer.from('0')]), Buffer.from([0x68, 30])])
    await refuses(archive(body), FormatError, /shares its parts so often/)
    await refuses(archive(Buffer.concat([Buffer.from('}q\0', 'latin1'), pickledText('self'), Buffer.from('h\0s', 'latin1')])), FormatError, /contains itself/)
  })

  it('must fit the storages: sizes, offsets and strides are counted without wrapping', async () => {
    const tensor = (change: Partial<PickledTensor>): Buffer =>
      Buffer.concat([Buffer.from('}'), pickledText('w'), pickledTensor({ ...W, count: 4, ...change }), Buffer.from('s')])
    for (const [change, message] of [
      [{ offset: 1 }, /reaches to element 4 of a storage of 4/],
      [{ offset: -1 }, /at offset -1/],
      [{ strides: [2 ** 53, 1] }, /reaches to element/],
      [{ strides: [-2, 1] }, /stride holds -2/],
      [{ strides: [1] }, /2 dimensions with 1 strides/],
      [{ shape: [2 ** 40], strides: [0] }, /expands a storage of 16 bytes/],
      [{ count: 5 }, /says that storage "0" has 20 bytes; its record has 16/],
      [{ key: '7' }, /needs storage "7", which is not in the archive/],
      [{ key: '../0' }, /needs storage "..\/0"/],
      [{ storage: 'float32' }, /torch\.float32 as the type of a storage/],
    ] as const)
      await refuses(archive(tensor(change)), FormatError, message)
  })
})

describe('broken checkpoints', () => {
  const tensors = [W, { ...W, name: 'deep/t', strides: [1, 2] }]
  const good = {
    zip: torchFile(tensors, { 0: FOUR }),
    deflated: torchFile(tensors, { 0: FOUR }, { deflated: true }),
    legacy: legacyFile(tensors, { 0: { bytes: FOUR, count: 4 } }),
  }

  for (const [kind, file] of Object.entries(good)) {
    it(`are refused wherever a ${kind} file is cut`, async () => {
      for (let length = 0; length < file.byteLength; length++) await assert.rejects(open(file.slice(0, length)), isClean, `cut at ${length}`)
    })

    it(`never do more than be refused, whatever changes in a ${kind} file`, async () => {
      let state = 12345
      const random = (below: number): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        return state % below
      }
      for (let run = 0; run < 4000; run++) {
        const bytes = file.slice()
        for (let change = random(3); change >= 0; change--) bytes[random(bytes.byteLength)] = [random(256), 0, 255, 0x2e, 0x52][random(5)] ?? 0
        await tolerate(bytes, `run ${run}`)
      }
    })
  }

  it('are refused at every flipped bit of an archive’s used records', async () => {
    for (let bit = 0; bit < good.zip.byteLength * 8; bit++) {
      const bytes = good.zip.slice()
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const values = await tolerate(bytes, `bit ${bit}`)
      if (values !== undefined) assert.deepEqual(values, [[1, 2, 3, 4], [1, 3, 2, 4]], `bit ${bit} changed a weight unseen`) // prettier-ignore
    }
  })
})

/** Reads all that can be read. @returns the tensors' values, or undefined when the file was refused cleanly */
async function tolerate(bytes: Uint8Array, what: string): Promise<number[][] | undefined> {
  try {
    const { tensors, members } = await open(bytes)
    for (const member of members) await checkMember(member, openDescriptor(member.container))
    return await Promise.all(tensors.map(valuesOf))
  } catch (error) {
    assert.ok(isClean(error), `${what}: ${String(error)}`)
    return undefined
  }
}

function isClean(error: unknown): boolean {
  return error instanceof ToolkitError && [3, 4].includes(error.exitCode) && error.message.length < 600
}

function archive(body: Uint8Array): Uint8Array {
  return zipFile([
    { name: 'x/data.pkl', data: pickle(body) },
    { name: 'x/data/0', data: FOUR },
  ])
}

async function refuses(bytes: Uint8Array, kind: new (what: string) => ToolkitError, message: RegExp): Promise<void> {
  await assert.rejects(open(bytes), (error) => {
    assert.ok(error instanceof kind, String(error))
    assert.match(error.message, message)
    return true
  })
}

function open(bytes: Uint8Array): Promise<TorchCheckpoint> {
  return readCheckpoint(memorySource('model.pt', bytes))
}

async function valuesOf({ source, offset, byteLength, dtype }: TensorInfo): Promise<number[]> {
  const bytes = new Uint8Array(byteLength)
  await openDescriptor(source).read(bytes, offset)
  return dtype === 'F32' ? [...new Float32Array(bytes.buffer)] : [...bytes]
}

function names(tensors: readonly TensorInfo[]): string[] {
  return tensors.map(({ name }) => name)
}

function floats(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}
