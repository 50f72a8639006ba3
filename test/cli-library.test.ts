/** The package as a library, by its own name: planMerge, planGguf, execute and inspect, with types, progress and AbortSignal. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, inspect, planGguf, planMerge, ToolkitError, CancelledError, UsageError, FileSystemError } from 'lora-to-gguf'
import type {
  AdapterOption,
  ExecuteOptions,
  ExecuteResult,
  GgufOptions,
  Inspection,
  MergeOptions,
  Plan,
  PlannedTensor,
  ProgressEvent,
  TensorResult,
} from 'lora-to-gguf'
import { FIXTURES } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const adapters: readonly AdapterOption[] = [{ path: join(FIXTURES, 'ship-log-lora'), weight: 1 }]

describe('the library', () => {
  it('plans and executes a fused GGUF, the same bytes as the command', async (t) => {
    const home = workspace(t)
    const options: GgufOptions = { model: BASE, adapters, outtype: 'q8_0', outfile: join(home, 'library.gguf') }
    const plan: Plan = await planGguf(options)
    assert.ok(!existsSync(join(home, 'library.gguf')), 'a plan writes nothing')
    const first: PlannedTensor | undefined = plan.tensors[0]
    assert.equal(first?.name, 'token_embd.weight')

    const events: ProgressEvent[] = []
    const run: ExecuteOptions = { onProgress: (event) => void events.push(event), signal: new AbortController().signal, threads: 2, hash: true }
    const result: ExecuteResult = await execute(plan, run)
    const tensors: readonly TensorResult[] = result.tensors
    assert.equal(tensors.length, plan.tensors.length)
    assert.equal(result.bytes, statSync(join(home, 'library.gguf')).size + statSync(join(home, 'Modelfile')).size)
    assert.deepEqual([...new Set(events.map(({ phase }) => phase))].sort(), ['finish', 'hash', 'write'])
    assert.ok(events.every(({ doneBytes, totalBytes }) => doneBytes <= totalBytes))

    await runCliOk('lora-merge', [BASE, adapters[0]?.path ?? '', join(home, 'command.gguf'), '--outtype', 'q8_0', '--quiet'])
    assert.ok(readFileSync(join(home, 'command.gguf')).equals(readFileSync(join(home, 'library.gguf'))))
  })

  it('plans and executes a merge, and inspects what came out', async (t) => {
    const out = join(workspace(t), 'merged')
    const options: MergeOptions = { base: BASE, adapters, out, dtype: 'F32', maxShardBytes: 4_000_000 }
    await execute(await planMerge(options))
    const inspection: Inspection = await inspect(out, { hash: true })
    assert.equal(inspection.kind, 'model')
    assert.equal(inspection.config?.architectures[0], 'LlamaForCausalLM')
    assert.ok(inspection.tensors.every(({ dtype, sha256 }) => dtype === 'F32' && /^[0-9a-f]{64}$/.test(sha256 ?? '')))
    assert.deepEqual(new Set(inspection.tensors.map(({ file }) => file)).size, inspection.files.filter(({ format }) => format === 'safetensors').length)
  })

  it('a plan is plain data: it survives structuredClone, and then gives the same file', async (t) => {
    const home = workspace(t)
    const plan = await planGguf({ model: BASE, outfile: join(home, 'a.gguf') })
    await execute(plan)
    await execute({ ...structuredClone(plan), files: structuredClone(plan.files) }, { force: true })
    assert.equal(statSync(join(home, 'a.gguf')).size, plan.files[0]?.byteLength)
  })

  it('stops before the first byte when the signal has fired already', async (t) => {
    const home = workspace(t)
    const plan = await planGguf({ model: BASE, adapters, outfile: join(home, 'x.gguf') })
    await assert.rejects(execute(plan, { signal: AbortSignal.abort() }), CancelledError)
    assert.deepEqual(readdirSync(home), [])
  })

  it('stops in the middle when the signal fires, and leaves nothing', async (t) => {
    const home = workspace(t)
    const plan = await planGguf({ model: BASE, adapters, outfile: join(home, 'new', 'x.gguf'), tileElements: 1024 })
    const controller = new AbortController()
    let stopped: ProgressEvent | undefined
    const onProgress = (event: ProgressEvent): void => {
      stopped ??= event
      controller.abort()
    }
    await assert.rejects(execute(plan, { signal: controller.signal, onProgress, threads: 1 }), CancelledError)
    assert.equal(stopped?.phase, 'write')
    assert.deepEqual(readdirSync(home), [])
  })

  it('throws its own classes, with code, exit code and place', async (t) => {
    const missing = join(workspace(t), 'missing')
    await assert.rejects(planMerge({ base: BASE, adapters: [], out: missing }), UsageError)
    await assert.rejects(planMerge({ base: missing, adapters, out: `${missing}-out` }), (error) => {
      assert.ok(error instanceof FileSystemError && error instanceof ToolkitError)
      assert.deepEqual([error.code, error.exitCode], ['E_FILE_SYSTEM', 5])
      assert.equal(error.place.file, missing)
      return true
    })
    await assert.rejects(planGguf({ model: BASE, adapters: [{ path: adapters[0]?.path ?? '', weight: Number.NaN }] }), UsageError)
  })

  it('gives plans of callers who pass undefined for what they do not say', async (t) => {
    const home = workspace(t)
    const plan = await planGguf({
      model: BASE,
      adapters: undefined,
      outtype: undefined,
      outfile: join(home, 'x.gguf'),
      modelName: undefined,
      receipt: undefined,
      pre: undefined,
    })
    assert.equal(plan.receipt, 'x.gguf.receipt.json')
  })
})
