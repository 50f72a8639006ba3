/**
 * Golden GGUF cases whose bytes ours differ from on purpose, by the metadata key that differs: the reference is wrong there,
 * or not stable (shared docs, convert.md §9). Everything else of these files is compared.
 */
export const DIFFERENT_KEYS: ReadonlyMap<string, { readonly key: string; readonly why: string }> = new Map([
  ['glm', { key: 'chatglm.context_length', why: 'the reference writes the hidden size where config.json has no seq_length' }],
  ['command-r', { key: 'tokenizer.chat_templates', why: 'the reference writes the names of templates in the order of a Python set' }],
])
