/** The hostile corpus of PyTorch checkpoints, in process: what must be refused is refused in one clear sentence and runs nothing, the rest is read to the last bit. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { ToolkitError } from '../src/core/errors.js'
import { inspect } from '../src/inspect/inspect.js'
import { HOSTILE, hostileCases } from './support/hostile.js'
import { SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const CASES = hostileCases(({ format }) => format === 'pytorch')

/** Names of torch -> ours. */
const DTYPES: ReadonlyMap<string, string> = new Map([
  ['float32', 'F32'],
  ['float64', 'F64'],
  ['float16', 'F16'],
  ['bfloat16', 'BF16'],
  ['int8', 'I8'],
  ['uint8', 'U8'],
  ['int16', 'I16'],
  ['int32', 'I32'],
  ['int64', 'I64'],
  ['uint16', 'U16'],
  ['uint32', 'U32'],
  ['uint64', 'U64'],
  ['bool', 'BOOL'],
  ['complex64', 'C64'],
  ['float8_e4m3fn', 'F8_E4M3'],
  ['float8_e5m2', 'F8_E5M2'],
  ['float8_e8m0fnu', 'F8_E8M0'],
])

describe('the hostile corpus of PyTorch checkpoints', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  it('has cases of both kinds', () => {
    assert.ok(CASES.some(({ expect }) => expect === 'reject') && CASES.some(({ expect }) => expect === 'accept'))
  })

  for (const one of CASES.filter(({ expect }) => expect === 'reject')) {
    it(`refuses ${basename(one.path)} (${one.reason})`, { timeout: 5000 }, async () => {
      await assert.rejects(inspect(join(HOSTILE, one.path), { hash: true }), (error) => {
        assert.ok(error instanceof ToolkitError && error.exitCode >= 3 && error.exitCode <= 4, String(error))
        assert.ok(error.message.includes(basename(one.path)), error.message)
        assert.ok(error.message.length <= 560 && isPrintable(error.message), error.message)
        if (one.hint !== undefined) assert.match(error.message, new RegExp(one.hint, 'i'))
        return true
      })
      assert.ok(one.marker === undefined || !existsSync(one.marker), 'a payload ran')
    })
  }

  for (const one of CASES.filter(({ expect }) => expect === 'accept')) {
    it(`reads ${basename(one.path)} (${one.reason})`, { timeout: 5000 }, async () => {
      const { tensors } = await inspect(join(HOSTILE, one.path), { hash: true })
      const read = tensors.map(({ name, dtype, shape, sha256 }) => [name, { dtype, shape, sha256 }] as const)
      const wanted = Object.entries(one.tensors ?? {}).map(([name, tensor]) => [name, { ...tensor, dtype: DTYPES.get(tensor.dtype) }] as const)
      assert.deepEqual(new Map(read), new Map(wanted))
      assert.equal(tensors.length, wanted.length)
    })
  }
})

function isPrintable(text: string): boolean {
  return [...text].every((c) => c >= ' ' && c !== '\u007f' && !(c >= '\u0080' && c <= '\u009f'))
}
