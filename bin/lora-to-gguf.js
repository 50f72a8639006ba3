#!/usr/bin/env node
import { loraToGguf } from '../dist/bundle/cli/lora-to-gguf.js'
import { main } from '../dist/bundle/cli/main.js'
process.exitCode = await main(loraToGguf, process.argv.slice(2))
