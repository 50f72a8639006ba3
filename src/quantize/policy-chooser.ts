/**
 * Reads mixtures.ts for one tensor after the other and keeps the counts that its conditions ask for. Tensors must come in
 * the order of the file.
 *
 * Law: llama-quant.cpp `llama_tensor_get_type_impl`, `init_quantize_state_counters` (llama.cpp 0c1e570). What other rules
 * decide is not counted as seen, but is part of the number of V's, as there.
 */
import { FormatError } from '../core/errors.js'
import { QUANT_TYPES, type QuantType } from '../core/quant-types.js'
import { fileTypeRow, type NamedFileType } from './file-types.js'
import { EXACT_PARTS, LOW_BIT, MIXTURES, SHARED_KV_MODELS, type Choice, type Mixture } from './mixtures.js'
import { CONDITIONS, type TensorFacts } from './policy-conditions.js'
import type { QuantizeHparams } from './policy-hparams.js'
import { layerOf, type TensorCategory } from './tensor-categories.js'

/** What holds for the whole model. */
export interface ChooserModel {
  readonly fileType: NamedFileType
  readonly architecture: string
  readonly hparams: QuantizeHparams
  readonly imatrix: boolean
  /** Categories of all tensors of the file, those that are not quantized too. */
  readonly categories: readonly TensorCategory[]
  /** --output-tensor-type */
  readonly outputTensorType: QuantType | undefined
}

/** A tensor to choose a type for. */
export interface ChooserTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly category: TensorCategory
}

type Counted = 'attentionV' | 'ffnUp' | 'ffnGate' | 'ffnDown'

export class MixtureChooser {
  private readonly model: ChooserModel
  private readonly mixture: Mixture
  private readonly ownType: QuantType
  private readonly valueCount: number
  private readonly tied: boolean
  private readonly seen: Record<Counted, number> = { attentionV: 0, ffnUp: 0, ffnGate: 0, ffnDown: 0 }

  constructor(model: ChooserModel) {
    this.model = model
    this.mixture = MIXTURES[model.fileType] ?? {}
    this.ownType = fileTypeRow(model.fileType).type
    this.valueCount = model.categories.filter((category) => category === 'attentionV').length
    this.tied = !model.categories.includes('output')
  }

  /** The type of the next tensor, before any fallback. @throws FormatError when an expert's layer cannot be told */
  choose({ name, shape, category }: ChooserTensor): QuantType {
    const { architecture, outputTensorType } = this.model
    if (EXACT_PARTS.get(architecture)?.some((part) => name.includes(part))) return 'q8_0'
    if (category === 'output' || (category === 'tokenEmbedding' && this.tied)) {
      return outputTensorType ?? this.pick(this.mixture.output, this.facts(shape, category, 0, 0))
    }
    if (this.mixture.rest !== undefined) return this.pick(this.mixture.rest, this.facts(shape, category, 0, 0))
    switch (category) {
      case 'attentionV':
        return this.chooseValue(this.facts(shape, category, this.seen.attentionV++, this.valueCount))
      case 'attentionK':
        if (this.model.hparams.experts === 8 && !this.lowBit()) return 'q8_0'
        break
      case 'ffnDown':
      case 'ffnGate':
      case 'ffnUp':
        return this.pick(this.mixture[category], this.facts(shape, category, this.layer(name, category), this.model.hparams.layers))
    }
    return this.pick(this.mixture[category], this.facts(shape, category, 0, 0))
  }

  /** V is small where heads share it, and where experts make up the model: more bits cost little. */
  private chooseValue(facts: TensorFacts): QuantType {
    const type = this.pick(this.mixture.attentionV, facts)
    if (this.lowBit()) return type
    if (facts.experts === 8) return 'q8_0'
    return (type === 'q3_k' || type === 'q4_k') && this.sharesValues() ? 'q5_k' : type
  }

  private sharesValues(): boolean {
    const { layers, predictionLayers, heads, kvHeads } = this.model.hparams
    return SHARED_KV_MODELS.some(
      (row) => row.architecture === this.model.architecture && row.layers === layers - predictionLayers && !(row.onlyIfShared && heads === kvHeads),
    )
  }

  /** Of dense models the how-maniest of its kind, of experts the layer that the name tells: experts may be files' tensors in any order. */
  private layer(name: string, category: Counted): number {
    const index = this.seen[category]++
    const { experts, layers } = this.model.hparams
    if (experts <= 1 || this.lowBit()) return index
    const layer = layerOf(name)
    if (layer !== undefined && layer >= 0 && layer < layers) return layer
    const found = layer === undefined ? 'is in no layer' : `is in layer ${layer}, and the metadata tells of ${layers}`
    throw new FormatError(`${found}: its type cannot be chosen.`, { tensor: name })
  }

  private lowBit(): boolean {
    return LOW_BIT.has(this.model.fileType)
  }

  private facts(shape: readonly number[], category: TensorCategory, index: number, count: number): TensorFacts {
    const { architecture, imatrix, hparams } = this.model
    return {
      architecture,
      category,
      shape,
      blockElements: QUANT_TYPES[this.ownType].blockElements,
      index,
      count,
      headsPerKv: hparams.kvHeads === 0 ? 0 : Math.floor(hparams.heads / hparams.kvHeads),
      experts: hparams.experts,
      imatrix,
    }
  }

  private pick(choices: readonly Choice[] | undefined, facts: TensorFacts): QuantType {
    return choices?.find(([, ...conditions]) => conditions.every((condition) => CONDITIONS[condition](facts)))?.[0] ?? this.ownType
  }
}
