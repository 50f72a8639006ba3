/**
 * Modules that hold values themselves, bound: single elements, circulant kernels, rows of tokens, whole tensors, biases.
 *
 * Law: PEFT 0.21.2 tuners/{shira,supertuning,c3a,trainable_tokens,ln_tuning,beft}/layer.py.
 */
import { MismatchError, quoted } from '../../core/errors.js'
import type { Delta } from '../../core/delta.js'
import { asMatrix } from '../../core/matrix-view.js'
import { elementCount, sameShape, shapeText } from '../../core/shape.js'
import { biasChange, change, sidesOf, type Binder, type Bound } from './bound.js'
import { doesNotFit, dimensions, length, pairOf, placeOf, size, tensorOf, vector } from './factors.js'

/** SHiRA: pairs of row and column. Super-Tuning: positions in row-major order, and maybe a low-rank product beside them. */
export const sparse: Binder = {
  shape: (module) =>
    module.factors.has('superA') ? { out: size(module, 'superB', 0), inputs: size(module, 'superA', 1), fixed: true } : { out: 0, inputs: 0, fixed: true },
  bind: (bound) => {
    const { module } = bound
    const positions = tensorOf(module, 'sparsePositions')
    const count = length(module, 'sparseValues')
    const wanted = positions.shape.length === 2 ? [2, count] : [count]
    if (!sameShape(positions.shape, wanted))
      throw new MismatchError(`has shape ${shapeText(positions.shape)} for ${count} values; ${shapeText(wanted)} is wanted.`, {
        ...placeOf(module),
        tensor: positions.name,
      })
    const deltas: Delta[] = [{ variant: 'sparse', ...change(bound), positions, values: vector(module, 'sparseValues', count) }]
    if (!module.factors.has('superA') && !module.factors.has('superB')) return deltas
    const pair = pairOf(module, 'superB', 'superA')
    const rank = Number(module.options?.get('r') ?? 0)
    if (pair.A.rows !== rank) throw new MismatchError(`has rank ${pair.A.rows}, but adapter_config.json gives it rank ${rank} ("r").`, placeOf(module))
    const scale = Number(module.options?.get('lora_alpha') ?? 2 * rank) / rank
    return [...deltas, { variant: 'lora', ...change(bound), rank, scale, ...pair }]
  },
}

/** PEFT divides by the inputs. */
export const c3a: Binder = {
  shape: (module) => {
    const [down = 0, across = 0, block = 0] = dimensions(module, 'c3a', 3)
    return { out: down * block, inputs: across * block, fixed: true }
  },
  bind: (bound) => {
    const [down = 0, across = 0, block = 0] = dimensions(bound.module, 'c3a', 3)
    const kernels = asMatrix(tensorOf(bound.module, 'c3a'), down, across * block)
    return [{ variant: 'circulant', ...change(bound), scale: 1 / sidesOf(bound).inputs, kernels, size: block }]
  },
}

export const beft: Binder = {
  shape: (module) => ({ out: length(module, 'beft'), inputs: 0, fixed: true }),
  bind: (bound) => {
    const { module, weight, bias } = bound
    if (bias === undefined)
      throw new MismatchError(
        `is a trained bias, but the base's ${quoted(weight.name)} has no bias to add it to: PEFT cannot merge it either.`,
        placeOf(module),
      )
    return [{ variant: 'sum', ...biasChange(bound, bias), value: vector(module, 'beft', elementCount(bias.shape)) }]
  },
}

export const tokens: Binder = {
  bind: (bound) => {
    const { module, weight } = bound
    const { ids = [] } = module
    const values = tensorOf(module, 'tokens')
    const place = placeOf(module)
    const [rows = 0, cols] = weight.shape
    if (!sameShape(values.shape, [ids.length, cols ?? 0]) || weight.shape.length !== 2)
      throw new MismatchError(
        `has shape ${shapeText(values.shape)} for ${ids.length} token ids, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}.`,
        place,
      )
    const beyond = ids.find((id) => id >= rows)
    if (beyond !== undefined) throw new MismatchError(`has a row for token ${beyond}, but the base's ${quoted(weight.name)} has ${rows} rows.`, place)
    if (new Set(ids).size !== ids.length) throw new MismatchError('has two rows for one token: which is meant cannot be told.', place)
    return [{ variant: 'tokens', ...change(bound), ids, values, keepsTie: true }]
  },
}

/** A weight may have more rows than the base's: a vocabulary that was resized. */
export const whole: Binder = {
  bind: (bound: Bound) => {
    const { module, weight, bias } = bound
    const place = placeOf(module)
    const deltas: Delta[] = []
    for (const [role, tensor] of module.factors) {
      // what was found for a parameter, or for a bias of a module without weight, is the tensor itself
      const itself = role === 'weight' || role === 'baseWeight' || role === 'parameter' || weight.name.endsWith('bias')
      const target = itself ? weight : bias
      if (target === undefined) throw new MismatchError(`replaces a bias, but the base's ${quoted(weight.name)} has none.`, { ...place, tensor: tensor.name })
      const resizes = tensor.shape.length === 2 && target.shape.length === 2 && tensor.shape[1] === target.shape[1]
      if (!sameShape(tensor.shape, target.shape) && !resizes) throw doesNotFit(tensor, target)
      deltas.push({ variant: 'replace', ...change(bound), target: target.name, tensor })
    }
    return deltas
  },
}
