/**
 * The models and data sets that a model comes from: a card's `base_model` and `datasets`, and --metadata's
 * `general.base_models` and `general.datasets` -> maps of name, organization, version, repo_url ... for GGUF.
 *
 * Law: gguf-py gguf/metadata.py `apply_metadata_heuristic` (base models, datasets).
 */
import { idToTitle, modelIdComponents } from './model-id.js'
import type { CardMap, CardValue } from './yaml-scalar.js'

/**
 * What a card says under the first of `keys` that it has (even if its value is null): a text or a list of texts and maps.
 * @returns undefined when the card has none of the keys; an empty list (of which the count 0 is written) for null and other values
 */
export function cardReferences(card: CardMap, keys: readonly string[], totalParams: number): readonly CardValue[] | undefined {
  const key = keys.find((one) => card.has(one))
  if (key === undefined) return undefined
  const value = card.get(key)
  if (typeof value === 'string') return [reference(value, totalParams)]
  return Array.isArray(value) ? (value as readonly CardValue[]).map((entry) => (typeof entry === 'string' ? reference(entry, totalParams) : entry)) : []
}

const WEB_ADDRESS = /^(?:http|https|ssh):\/\//
const HUB_ADDRESS = /^https?:\/\/huggingface[^\n]co\/([^/]+\/[^/]+)$/ // the reference's dot is any character, too

/** A hub id or an address, taken apart. */
function reference(id: string, totalParams: number): CardMap {
  if (!WEB_ADDRESS.test(id)) return hubReference(id, totalParams)
  const entries = new Map<string, CardValue>([['repo_url', id]])
  const hubId = id.includes('huggingface.co') ? HUB_ADDRESS.exec(id)?.[1] : undefined
  if (hubId !== undefined) for (const [key, value] of hubReference(hubId, totalParams)) if (key !== 'repo_url') entries.set(key, value)
  return entries
}

function hubReference(id: string, totalParams: number): CardMap {
  const { fullName, organization, version } = modelIdComponents(id, totalParams)
  const entries = new Map<string, CardValue>()
  if (fullName !== undefined) entries.set('name', idToTitle(fullName))
  if (organization !== undefined) entries.set('organization', idToTitle(organization))
  if (version !== undefined) entries.set('version', version)
  if (fullName !== undefined && organization !== undefined) entries.set('repo_url', `https://huggingface.co/${organization}/${fullName}`)
  return entries
}
