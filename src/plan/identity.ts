/**
 * The name that metadata is derived from. The reference converter derives general.name, finetune, version … from the
 * name of the model's folder, so a merged folder called `foo-chat-v2-7B` would become another model than the GGUF that is
 * fused in one pass. Weights that we merge therefore carry the name of their base's folder, in `__metadata__`:
 * unlike a field of config.json it is gone as soon as another tool writes the weights anew.
 */
import type { Model } from '../core/model.js'

const KEY = 'lora-to-gguf.base'
const FOLDER_NAME = /^[^/\\\p{Cc}]{1,255}$/u

/** The name of the folder that a model comes from: its own, or that of the base that it was merged from. */
export function identityOf({ shards, identity }: Model): string {
  const carried = shards[0]?.metadata.get(KEY)
  return carried !== undefined && FOLDER_NAME.test(carried) ? carried : identity
}

/** `__metadata__` of merged weights. transformers refuses a file that has metadata without `format`. */
export function withIdentity(metadata: ReadonlyMap<string, string>, model: Model): ReadonlyMap<string, string> {
  return new Map([...metadata, ['format', metadata.get('format') ?? 'pt'], [KEY, identityOf(model)]])
}
