/** What trainers leave in a folder leads the user to the adapter, or says that there is none. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openAdapterFile } from '../src/adapters/formats.js'
import type { AdapterFolder } from '../src/adapters/adapter-file.js'
import { FileSystemError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { factors, loraConfig, safetensors } from './support/adapters.js'
import { memoryFolder } from './support/memory-folder.js'
import { refused } from './support/refused.js'

const WEIGHTS = safetensors({ w: [1] })
const ADAPTER = { 'adapter_config.json': loraConfig(), 'adapter_model.safetensors': safetensors(factors('model.layers.0.self_attn.q_proj', 6, 5)) }

function folderOf(files: Record<string, string | Uint8Array>, folders: readonly string[] = []): AdapterFolder {
  return { ...memoryFolder(files, 'output'), folders }
}

describe('folders of trainings', () => {
  for (const [what, files] of [
    ['full tuning', { 'config.json': '{}', 'model.safetensors': WEIGHTS }],
    ['a sharded model', { 'model-00001-of-00002.safetensors': WEIGHTS, 'model.safetensors.index.json': '{}' }],
    ['an old checkpoint', { 'config.json': '{}', 'pytorch_model.bin': WEIGHTS }],
    ['a config alone', { 'config.json': '{}', 'tokenizer.json': '{}' }],
  ] as const) {
    it(`says of ${what} that there is nothing to merge`, async () => {
      await assert.rejects(openAdapterFile(folderOf(files)), refused(UsageError, /this is a whole model.*nothing to merge: run to-gguf on it/))
    })
  }

  it('names the model, not its checkpoints, where both are', async () => {
    await assert.rejects(openAdapterFile(folderOf({ 'model.safetensors': WEIGHTS }, ['checkpoint-10'])), refused(UsageError, /whole model/))
  })

  it('lists checkpoints by number, although a config lies beside them', async () => {
    const folder = folderOf({ 'config.json': '{}', 'training_args.bin': WEIGHTS }, ['checkpoint-90', 'checkpoint-1000', 'checkpoint-x'])
    await assert.rejects(
      openAdapterFile(folder),
      refused(FileSystemError, /"checkpoint-90", "checkpoint-1000": name one of them; the newest is "checkpoint-1000"/),
    )
  })

  it('leaves out checkpoints that hold no adapter', async () => {
    const files = { 'checkpoint-5/adapter_config.json': '{}', 'trainer_state.json': '{}' }
    await assert.rejects(openAdapterFile(folderOf(files, ['checkpoint-5', 'checkpoint-6'])), refused(FileSystemError, /but "checkpoint-5": name that/))
  })

  it('takes no file of the trainer for an adapter', async () => {
    const files = { 'training_args.bin': WEIGHTS, 'optimizer.pt': WEIGHTS, 'value_head.safetensors': WEIGHTS }
    await assert.rejects(openAdapterFile(folderOf(files)), refused(FileSystemError, /holds no adapter: adapter_config\.json wanted/))
  })

  it('says that a value head is left out', async () => {
    const { notes } = await openAdapterFile(folderOf({ ...ADAPTER, 'value_head.safetensors': WEIGHTS }))
    assert.match(notes.join(' '), /value_head\.safetensors.*left out/)
  })

  it('points at pissa_converted, whose base is the original one', async () => {
    const raw = { ...ADAPTER, 'adapter_config.json': loraConfig({ init_lora_weights: 'pissa_niter_16' }) }
    const folders = ['pissa_backup', 'pissa_converted', 'pissa_init']
    await assert.rejects(openAdapterFile(folderOf(raw, folders)), refused(UnsupportedError, /changes the base.*name the folder "pissa_converted"/))
    await assert.rejects(openAdapterFile(folderOf({}, folders)), refused(FileSystemError, /"pissa_converted", the adapter converted to plain LoRA: name that/))
    await assert.rejects(openAdapterFile(folderOf(raw)), refused(UnsupportedError, /path_initial_model_for_weight_conversion/))
  })
})
