/** What the files of merged weights are called: as the base's are, so that whatever reads the base reads them. */
import type { Model, WeightNames } from '../core/model.js'

const PLAIN: WeightNames = { stem: 'model', variant: undefined }

/** How the files of a model, when they are written as safetensors in a folder, are called. */
export interface OutputNames {
  readonly whole: string
  readonly index: string
  /** Of the file with this number, from 1. */
  shard(number: number, count: number): string
}

/** Names of transformers, or of diffusers where the base has those. */
export function outputNames({ component }: Pick<Model, 'component'>): OutputNames {
  const { stem, variant } = component?.weightNames ?? PLAIN
  const middle = variant === undefined ? '' : `.${variant}`
  const digits = (n: number): string => String(n).padStart(5, '0')
  return {
    whole: `${stem}${middle}.safetensors`,
    index: `${stem}.safetensors.index${middle}.json`,
    shard: (number, count) => `${stem}${middle}-${digits(number)}-of-${digits(count)}.safetensors`,
  }
}
