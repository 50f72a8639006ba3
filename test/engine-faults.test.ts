/** What can go wrong during a run: the run ends with its reason, and nothing is left. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { CancelledError, FileSystemError, FormatError, MismatchError, type ToolkitError } from '../src/core/errors.js'
import type { TensorInfo } from '../src/core/tensor-info.js'
import { execute, type ExecuteOptions } from '../src/engine/execute.js'
import { isTemporary } from '../src/engine/stale-runs.js'
import type { Plan, SideFile } from '../src/plan/plan.js'
import { handPlan, lowRank, memoryTensor, rows, TOOL, type Output } from './support/plans.js'
import { packed, Seeded, unpacked } from './support/straight-math.js'
import { mountedTmpfs } from './support/tmpfs.js'
import { filesOf } from './support/trees.js'
import { workspace } from './support/workspace.js'

type Refused = typeof CancelledError | typeof FileSystemError | typeof FormatError | typeof MismatchError

/** Runs a plan that must fail; below `root` everything is as before. */
async function failure(plan: Plan, kind: Refused, options: ExecuteOptions = {}): Promise<ToolkitError> {
  const before = filesOf(plan.root)
  const error = await execute(plan, TOOL, options).then(
    () => assert.fail('the run succeeded'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof kind, String(error))
  assert.deepEqual(filesOf(plan.root), before)
  return error
}

/** A tensor in a file of its own, as the planners would describe it. */
function fileTensor(path: string, name: string, shape: readonly number[], bytes: Uint8Array): TensorInfo {
  writeFileSync(path, bytes)
  const { size, mtimeMs, ino } = statSync(path)
  return {
    name,
    dtype: 'F32',
    shape,
    source: { kind: 'file', name: 'base.safetensors', path, byteLength: size, modifiedMs: mtimeMs, inode: ino },
    offset: 0,
    byteLength: size,
  }
}

function seeded(count: number, factor = 1): Uint8Array {
  return packed('F32', new Seeded(17).weights(count, factor))
}

describe('an input that changes', () => {
  const SHAPE = [64, 32] as const
  const BYTES = 64 * 32 * 4

  function plan(t: TestContext, program: 'bytes' | 'rows' = 'rows'): { plan: Plan; path: string } {
    const folder = workspace(t, 'changed')
    const path = join(folder, 'base.safetensors')
    const tensor = fileTensor(path, 'w', SHAPE, seeded(64 * 32))
    const root = join(folder, 'out')
    mkdirSync(root)
    return {
      path,
      plan: handPlan(root, [
        { name: 'w', shape: SHAPE, program: program === 'bytes' ? { kind: 'bytes', tensor } : rows({ op: 'read', tensor }, 'f16'), tileElements: 64 },
      ]),
    }
  }

  const changes: Readonly<Record<string, (path: string) => void>> = {
    truncated: (path) => truncateSync(path, BYTES - 1),
    longer: (path) => writeFileSync(path, new Uint8Array(BYTES + 4)),
    rewritten: (path) => {
      writeFileSync(path, new Uint8Array(BYTES))
      utimesSync(path, 1e9, 1e9)
    },
    touched: (path) => utimesSync(path, 1e9, 1e9),
    'replaced by another file': (path) => {
      const { atimeMs, mtimeMs } = statSync(path)
      writeFileSync(`${path}.new`, seeded(64 * 32))
      utimesSync(`${path}.new`, atimeMs / 1000, mtimeMs / 1000)
      renameSync(`${path}.new`, path)
    },
  }
  for (const [change, apply] of Object.entries(changes)) {
    for (const program of ['bytes', 'rows'] as const) {
      for (const threads of [1, 2]) {
        it(`is found out when it is ${change} between plan and run (${program}, ${threads} threads)`, async (t) => {
          const { plan: made, path } = plan(t, program)
          apply(path)
          const error = await failure(made, FormatError, { threads })
          assert.equal(error.exitCode, 3)
          assert.match(error.message, /^base\.safetensors: changed while it was read/)
        })
      }
    }
  }

  for (const change of ['truncated', 'rewritten', 'touched']) {
    it(`is found out when it is ${change} during the run`, async (t) => {
      const { plan: made, path } = plan(t)
      // the run is on the main thread and pauses after the first of its 32 tiles
      setImmediate(() => changes[change]?.(path))
      const error = await failure(made, FormatError, { threads: 1 })
      assert.match(error.message, /base\.safetensors.*(?:changed while it was read|cut short)/)
    })
  }

  it('is found out in a side file too', async (t) => {
    const { plan: made, path } = plan(t)
    const source = made.tensors[0]?.program.kind === 'rows' ? fileTensor(`${path}.json`, 'x', [2], seeded(2)).source : assert.fail()
    writeFileSync(`${path}.json`, 'longer than it was')
    const sideFiles: SideFile[] = [{ name: 'tokenizer.json', stage: 'before', content: { kind: 'copy', source } }]
    await failure({ ...made, sideFiles }, FormatError)
  })

  it('is an error of the file system, exit 5, when it is gone', async (t) => {
    const { plan: made, path } = plan(t)
    renameSync(path, `${path}.moved`)
    assert.match((await failure(made, FileSystemError)).message, /base\.safetensors: cannot be opened: there is no such file/)
  })
})

describe('a run that is cancelled', () => {
  const program = (rowCount: number, cols: number): Output => {
    const [W, B, A] = [
      memoryTensor('w', 'F32', [rowCount, cols], seeded(rowCount * cols)),
      memoryTensor('b', 'F32', [rowCount, 64], seeded(rowCount * 64)),
      memoryTensor('a', 'F32', [64, cols], seeded(64 * cols)),
    ]
    return {
      name: 'w',
      shape: [rowCount, cols],
      program: rows({ op: 'add', base: { op: 'read', tensor: W }, deltas: [lowRank(B, A, 1)] }, 'f16'),
      tileElements: cols,
    }
  }

  it('before it begins does nothing at all', async (t) => {
    const root = workspace(t, 'cancel')
    const error = await failure(handPlan(join(root, 'out'), [program(4, 4)]), CancelledError, { signal: AbortSignal.abort() }).catch((error: unknown) => error)
    assert.ok(error instanceof Error)
    assert.deepEqual(readdirSync(root), [])
  })

  it('between two tiles on the main thread leaves nothing', async (t) => {
    const root = workspace(t, 'cancel')
    const controller = new AbortController()
    let seen: string[] = []
    setImmediate(() => {
      seen = readdirSync(root)
      controller.abort()
    })
    const error = await failure(handPlan(root, [program(500, 64)]), CancelledError, { threads: 1, signal: controller.signal })
    assert.equal(error.exitCode, 130)
    assert.ok(seen.some((name) => name.startsWith('.out.bin.')) && seen.every(isTemporary), 'the run had begun')
  })

  it('while workers run leaves nothing', async (t) => {
    const root = workspace(t, 'cancel')
    const controller = new AbortController()
    let reached = 0
    const options: ExecuteOptions = {
      threads: 2,
      signal: controller.signal,
      onProgress: ({ phase, doneBytes, totalBytes }) => {
        if (phase !== 'write' || doneBytes === 0 || doneBytes === totalBytes) return
        reached = doneBytes / totalBytes
        controller.abort()
      },
    }
    await failure(handPlan(root, [program(8000, 1024)]), CancelledError, options)
    assert.ok(reached > 0 && reached < 1)
  })
})

describe('a thread that fails', () => {
  /** Runs two threads in a process of its own; in one of them a call of a function of Node does something else: the third call, of a worker's writes the first, for tiles that follow one another are written at once. */
  function run(
    t: TestContext,
    [module, name]: readonly ['fs', 'writeSync' | 'readSync'] | readonly ['zlib', 'crc32'],
    instead: string,
    failing: 'worker' | 'main' = 'worker',
  ): { root: string; status: number | null; stderr: string } {
    const folder = workspace(t, 'worker')
    const root = join(folder, 'out')
    const preload = join(folder, 'preload.mjs')
    writeFileSync(
      preload,
      `import module from 'node:${module}'
      import zlib from 'node:zlib'
      import { syncBuiltinESMExports } from 'node:module'
      import { isMainThread } from 'node:worker_threads'
      if (isMainThread === ${failing === 'main'}) {
        const real = module.${name}
        let left = ${name === 'writeSync' && failing === 'worker' ? 0 : 2}
        module.${name} = (...args) => {
          ${module === 'fs' ? `if (typeof args[4] !== 'number') return real(...args) // Node's own: modules` : ''}
          if (--left >= 0) return real(...args)
          ${instead}
        }
      } else {
        // so slow that the other one gets tiles
        const real = zlib.crc32
        zlib.crc32 = (...args) => {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
          return real(...args)
        }
      }
      syncBuiltinESMExports()`,
    )
    const file = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)
    const script = `import { statSync, writeFileSync } from 'node:fs'
      import { execute } from ${file('../src/engine/execute.js')}
      import { handPlan, memoryTensor, rows, TOOL } from ${file('./support/plans.js')}
      const bytes = new Uint8Array(64 * 32 * 4)
      writeFileSync(${JSON.stringify(join(folder, 'base'))}, bytes)
      const { mtimeMs, ino } = statSync(${JSON.stringify(join(folder, 'base'))})
      const source = { kind: 'file', name: 'base', path: ${JSON.stringify(join(folder, 'base'))}, byteLength: bytes.byteLength, modifiedMs: mtimeMs, inode: ino }
      const tensor = { ...memoryTensor('w', 'F32', [64, 32], bytes), source }
      const plan = handPlan(${JSON.stringify(root)}, [{ name: 'w', shape: [64, 32], program: rows({ op: 'read', tensor }, 'f16'), tileElements: 32 }])
      try {
        await execute(plan, TOOL, { threads: 2 })
      } catch (error) {
        console.error(error.name + ' ' + error.exitCode + ': ' + error.message)
        process.exitCode = error.exitCode
      }`
    writeFileSync(join(folder, 'run.mjs'), script)
    const { status, stderr } = spawnSync(process.execPath, ['--import', preload, join(folder, 'run.mjs')], { encoding: 'utf8', timeout: 30_000 })
    assert.deepEqual(readdirSync(folder).toSorted(), ['base', 'preload.mjs', 'run.mjs'], 'nothing is left, not even the folder')
    return { root, status, stderr }
  }

  it('and is the main one ends the run too, and the worker with it', (t) => {
    const { status, stderr } = run(t, ['fs', 'writeSync'], `throw Object.assign(new Error('EIO'), { code: 'EIO' })`, 'main')
    assert.equal(status, 5, stderr)
    assert.match(stderr, /FileSystemError 5: out\.bin: cannot be written/)
  })

  it('by a bug ends the run with exit 1 and its message', (t) => {
    const { status, stderr } = run(t, ['zlib', 'crc32'], `throw new TypeError('poison')`)
    assert.equal(status, 1, stderr)
    assert.match(stderr, /InternalError 1: poison/)
  })

  it('by a full disk ends the run with exit 5', (t) => {
    const { status, stderr } = run(t, ['fs', 'writeSync'], `throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })`)
    assert.equal(status, 5, stderr)
    assert.match(stderr, /FileSystemError 5: out\.bin: cannot be written: no space left on the device \(ENOSPC\)/)
  })

  it('by a disk that cannot be read ends the run with exit 5', (t) => {
    const { status, stderr } = run(t, ['fs', 'readSync'], `throw Object.assign(new Error('EIO'), { code: 'EIO' })`)
    assert.equal(status, 5, stderr)
    assert.match(stderr, /FileSystemError 5: base: cannot be read: the disk reports an input\/output error \(EIO\)/)
  })

  it('by dying ends the run with exit 1', (t) => {
    const { status, stderr } = run(t, ['fs', 'writeSync'], `process.exit(9)`)
    assert.equal(status, 1, stderr)
    assert.match(stderr, /InternalError 1: a worker ended with code 9/)
  })

  it('by an error that nobody catches ends the run with exit 1', (t) => {
    const { status, stderr } = run(t, ['fs', 'writeSync'], `setImmediate(() => { throw new Error('late') }); return real(...args)`)
    assert.equal(status, 1, stderr)
    assert.match(stderr, /InternalError 1: a worker died: late/)
  })
})

describe('the library', () => {
  it('starts workers in a script that came by --input-type', (t) => {
    const root = workspace(t, 'input-type')
    const file = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)
    const script = `import { execute } from ${file('../src/engine/execute.js')}
      import { handPlan, memoryTensor, rows, TOOL } from ${file('./support/plans.js')}
      const tensor = memoryTensor('w', 'F32', [64, 32], new Uint8Array(64 * 32 * 4))
      await execute(handPlan(${JSON.stringify(root)}, [{ name: 'w', shape: [64, 32], program: rows({ op: 'read', tensor }, 'f16'), tileElements: 32 }]), TOOL, { threads: 2 })`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 30_000 })
    assert.equal(status, 0, stderr)
  })
})

describe('a full disk', () => {
  const bytesOf = (count: number): Output => ({
    name: 'w',
    shape: [count],
    program: { kind: 'bytes', tensor: memoryTensor('w', 'U8', [count], new Uint8Array(count).fill(7)) },
    tileElements: 1024,
  })

  it('is found before the work begins, with both numbers', async (t) => {
    const plan = handPlan(workspace(t, 'full'), [bytesOf(8)])
    const vast: Plan = { ...plan, files: plan.files.map((file) => ({ ...file, byteLength: 2 ** 52 })) }
    const error = await failure(vast, FileSystemError)
    assert.match(error.message, /^out\.bin: no space left on the device: 4503599627370496 bytes are needed, \d+ are free \(ENOSPC\)/)
  })

  it('is found before the work begins on a small disk', async (t) => {
    const root = mountedTmpfs(t, 'size=64k')
    if (root === undefined) return t.skip('nothing can be mounted here')
    const error = await failure(handPlan(root, [bytesOf(70_000)]), FileSystemError)
    assert.match(error.message, /7\d{4} bytes are needed, 65536 are free/)
    await execute(handPlan(root, [bytesOf(50_000)]), TOOL)
  })

  for (const threads of [1, 2]) {
    it(`in the midst of writing ends the run with exit 5 (${threads} threads)`, async (t) => {
      const root = mountedTmpfs(t, 'size=256k')
      if (root === undefined) return t.skip('nothing can be mounted here')
      // 40 files of one byte take a page of 4 KiB each, which no sum of sizes foresees
      const sideFiles = Array.from({ length: 40 }, (_, i): SideFile => ({ name: `side-${i}`, stage: 'before', content: { kind: 'text', text: 'x' } }))
      const error = await failure(handPlan(root, [bytesOf(120_000)], { sideFiles }), FileSystemError, { threads })
      assert.match(error.message, /out\.bin: cannot be written: no space left on the device \(ENOSPC\)/)
    })
  }

  it('leaves the old output whole', async (t) => {
    const root = mountedTmpfs(t, 'size=256k')
    if (root === undefined) return t.skip('nothing can be mounted here')
    await execute(handPlan(root, [bytesOf(1000)]), TOOL)
    const sideFiles = Array.from({ length: 40 }, (_, i): SideFile => ({ name: `side-${i}`, stage: 'before', content: { kind: 'text', text: 'x' } }))
    await failure(handPlan(root, [bytesOf(110_000)], { sideFiles }), FileSystemError, { force: true })
  })
})

describe('values that cannot be written', () => {
  const floats = (name: string, shape: readonly number[], values: readonly number[]): TensorInfo => memoryTensor(name, 'F32', shape, packed('F32', values))
  const one = (program: Output['program'], shape: readonly number[], tileElements?: number): Output => ({
    name: 'blk.0.w',
    shape,
    program,
    ...(tileElements === undefined ? {} : { tileElements }),
  })

  it('NaN in an adapter is refused, naming file, tensor and element', async (t) => {
    for (const [factor, element] of [
      ['B', 3],
      ['A', 1],
    ] as const) {
      const values = (count: number, broken: boolean): number[] => Array.from({ length: count }, (_, i) => (broken && i === element ? Number.NaN : 1))
      const [B, A] = [floats('lora_B', [4, 1], values(4, factor === 'B')), floats('lora_A', [1, 2], values(2, factor === 'A'))]
      const plan = handPlan(workspace(t, 'nan'), [
        one(rows({ op: 'add', base: { op: 'read', tensor: floats('w', [4, 2], values(8, false)) }, deltas: [lowRank(B, A, 1)] }, 'f32'), [4, 2], 2),
      ])
      const error = await failure(plan, MismatchError)
      assert.equal(error.exitCode, 6)
      assert.match(error.message, new RegExp(`^lora_${factor}\\.bin: tensor "lora_${factor}": element ${element} is NaN`))
    }
  })

  it('a sum that becomes infinite is refused, naming the base’s tensor and element', async (t) => {
    const [B, A] = [floats('B', [3, 1], [0, 0, 3e38]), floats('A', [1, 2], [0, 1])]
    const base = floats('model.w', [3, 2], [1, 2, 3, 4, 5, 3e38])
    const plan = (tileElements: number): Plan =>
      handPlan(workspace(t, 'infinite'), [
        one(rows({ op: 'add', base: { op: 'read', tensor: base }, deltas: [lowRank(B, A, 1)] }, 'f32'), [3, 2], tileElements),
      ])
    for (const tileElements of [1, 100]) {
      const error = await failure(plan(tileElements), MismatchError)
      assert.match(error.message, /^model\.w\.bin: tensor "model\.w": element 5 is \S+e\+38 and becomes Infinity when the adapters are added/)
    }
  })

  it('deltas of two adapters that are infinite and cancel to NaN are refused', async (t) => {
    const [B, A] = [floats('B', [1, 1], [3e38]), floats('A', [1, 1], [3e38])]
    const program = rows({ op: 'add', base: { op: 'read', tensor: floats('w', [1, 1], [1]) }, deltas: [lowRank(B, A, 1), lowRank(B, A, -1)] }, 'f32')
    assert.match((await failure(handPlan(workspace(t, 'cancel-out'), [one(program, [1, 1])]), MismatchError)).message, /becomes NaN/)
  })

  for (const threads of [1, 2]) {
    it(`f16 overflow ends the run with exit 6, naming tensor, index and value (${threads} threads)`, async (t) => {
      const values = Array.from({ length: 64 }, (_, i) => (i === 37 ? -65520 : 65519))
      const plan = handPlan(workspace(t, 'overflow'), [one(rows({ op: 'read', tensor: floats('w', [8, 8], values) }, 'f16'), [8, 8], 8)])
      const error = await failure(plan, MismatchError, { threads })
      assert.equal(error.exitCode, 6)
      assert.match(
        error.message,
        /^out\.bin: tensor "blk\.0\.w": element 37 is -65520, beyond the 65504 that f16 can hold\. Use bf16 or q8_0, or --clamp-overflow/,
      )
    })
  }

  it('f16 overflow is clamped when the plan says so', async (t) => {
    const root = workspace(t, 'clamp')
    await execute(
      handPlan(root, [one(rows({ op: 'read', tensor: floats('w', [2, 2], [1, -65520, 1e30, 65519]) }, 'f16'), [2, 2])], { clampOverflow: true }),
      TOOL,
    )
    assert.deepEqual([...unpacked('F16', readFileSync(join(root, 'out.bin')).subarray(8))], [1, -65504, 65504, 65504])
  })

  it('NaN in the base is refused for q8_0, naming tensor and index', async (t) => {
    const values = Array.from({ length: 64 }, (_, i) => (i === 40 ? Number.NaN : 1))
    const plan = handPlan(workspace(t, 'q8'), [one(rows({ op: 'read', tensor: floats('w', [2, 32], values) }, 'q8_0'), [2, 32], 1)])
    assert.match((await failure(plan, MismatchError)).message, /tensor "blk\.0\.w": element 40 is NaN, and q8_0 cannot hold it/)
  })
})

describe('NaN and infinity in the base', () => {
  // quiet, signalling, with payloads, of both signs
  const F32_BITS = Uint32Array.of(0x7fc0_0000, 0x7f80_2001, 0xffc1_2345, 0x7f80_0000, 0xff80_0000, 0x3f80_0000, 0x7fff_ffff, 0xff81_0000)
  const F16_BITS = Uint16Array.of(0x7e00, 0x7c01, 0xfe55, 0x7c00, 0xfc00, 0x3c00, 0x7fff, 0xfd01)
  const BF16_BITS = Uint16Array.of(0x7fc0, 0x7f81, 0xffd5, 0x7f80, 0xff80, 0x3f80, 0x7fff, 0xffa1)
  const bytes = (bits: Uint16Array | Uint32Array): Uint8Array => new Uint8Array(bits.buffer)
  const BASES = [
    ['F32', bytes(F32_BITS)],
    ['F16', bytes(F16_BITS)],
    ['BF16', bytes(BF16_BITS)],
  ] as const

  for (const [dtype, data] of BASES) {
    for (const how of ['untouched', 'converted to the same type', 'merged', 'merged and permuted'] as const) {
      it(`stay bit for bit in ${dtype}, ${how}, and are counted`, async (t) => {
        const root = workspace(t, 'kept')
        const tensor = memoryTensor('w', dtype, [4, 2], data)
        const [B, A] = [memoryTensor('B', 'F32', [4, 1], packed('F32', [1, -1, 1, 1])), memoryTensor('A', 'F32', [1, 2], packed('F32', [1, 1]))]
        const merged = { op: 'add', base: { op: 'read', tensor }, deltas: [lowRank(B, A, 1)] } as const
        const type = dtype.toLowerCase() as 'f32' | 'f16' | 'bf16'
        const program: Output['program'] =
          how === 'untouched'
            ? { kind: 'bytes', tensor }
            : how === 'converted to the same type'
              ? rows({ op: 'read', tensor }, type)
              : how === 'merged'
                ? rows(merged, type)
                : rows({ op: 'permuteRows', input: merged, shape: [2, 2], order: [1, 0] }, type)
        const result = await execute(handPlan(root, [{ name: 'w', shape: [4, 2], program, isMerged: how.startsWith('merged'), tileElements: 2 }]), TOOL)
        const file = readFileSync(join(root, 'out.bin')).subarray(8)
        const size = data.byteLength / 8
        const order = how === 'merged and permuted' ? [0, 1, 4, 5, 2, 3, 6, 7] : [0, 1, 2, 3, 4, 5, 6, 7]
        order.forEach((from, to) => {
          // the one finite value: 1, plus 1 where it was merged
          const want = from !== 5 ? data.subarray(from * size, (from + 1) * size) : packed(dtype, [how.startsWith('merged') ? 2 : 1])
          assert.deepEqual(new Uint8Array(file.subarray(to * size, (to + 1) * size)), new Uint8Array(want), `element ${from}`)
        })
        assert.equal(result.tensors[0]?.nonFinite, 7)
        assert.match(result.warnings.join(), /^7 elements of 1 tensors are NaN or infinite in the base \(first in w\); they were kept as they are$/)
        assert.match(readFileSync(join(root, 'receipt.json'), 'utf8'), /"nonFinite": 7/)
        if (how.startsWith('merged')) assert.ok(Math.abs((result.tensors[0]?.deltaRatio ?? 0) - 1) < 1e-5, 'the norms leave them out')
      })
    }
  }

  it('become what ggml makes of them in a narrower type: NaN and infinity with their signs', async (t) => {
    const root = workspace(t, 'narrowed')
    const tensor = memoryTensor('w', 'F32', [4, 2], bytes(F32_BITS))
    await execute(
      handPlan(
        root,
        (['f16', 'bf16'] as const).map((type) => ({ name: type, shape: [4, 2], program: rows({ op: 'read', tensor }, type), tileElements: 2 })),
      ),
      TOOL,
    )
    const halves = [...new Uint16Array(new Uint8Array(readFileSync(join(root, 'out.bin')).subarray(8)).buffer)]
    assert.deepEqual(halves.slice(0, 8), [0x7e00, 0x7e00, 0xfe00, 0x7c00, 0xfc00, 0x3c00, 0x7e00, 0xfe00])
    assert.deepEqual(halves.slice(8), [0x7fc0, 0x7fc0, 0xffc1, 0x7f80, 0xff80, 0x3f80, 0x7fff, 0xffc1])
  })

  it('become quiet when an f16 NaN is widened into f32, as in ggml', async (t) => {
    const root = workspace(t, 'widened')
    const tensor = memoryTensor('w', 'F16', [1, 4], bytes(Uint16Array.of(0x7c01, 0xfe09, 0x7c00, 0x3c00)))
    await execute(handPlan(root, [{ name: 'w', shape: [1, 4], program: rows({ op: 'read', tensor }, 'f32'), tileElements: 4 }]), TOOL)
    const words = [...new Uint32Array(new Uint8Array(readFileSync(join(root, 'out.bin')).subarray(8)).buffer)]
    assert.deepEqual(words, [0x7fc0_2000, 0xffc1_2000, 0x7f80_0000, 0x3f80_0000])
  })
})
