import assert from 'node:assert/strict'
import { valuesOf, type PlainTensor } from './plain-tensors.js'

/** Values within the tolerance of the golden data for f32: 1e-6 + 2⁻²²·|wanted|. */
export function assertClose(ours: PlainTensor | undefined, wanted: ArrayLike<number>, name: string): void {
  const values = valuesOf(ours ?? assert.fail(name))
  assert.equal(values.length, wanted.length, name)
  for (let i = 0; i < values.length; i++) {
    const want = wanted[i] ?? Number.NaN
    assert.ok(Math.abs((values[i] ?? Number.NaN) - want) <= 1e-6 + 2 ** -22 * Math.abs(want), `${name}[${i}]: ${values[i]}, wanted ${want}`)
  }
}
