"""Computes with Hugging Face's transformers what tests/train/test_parity.c compares with.

reference.py DIR MODEL GOLDEN: loads the checkpoint DIR/MODEL/step-00000000 by its folder alone, and writes the logits of
the initial weights (every 61st) and the losses of ten AdamW steps as xlm takes them. Also checks the way back: the
folder that save_pretrained writes has the tensors of ours.

What transformers lacks is in MODEL.py beside this file, any of: `load(path)`, of a model it does not have,
which is called and answers as one of its own, and its `DECAY` (also that of MODEL_VARIANT); `ahead(config)`, how many tokens after the targets training reads, and
`before_load(config)`; `Training(model)`, which has further `parameters`, adds `loss(tokens, targets, later)` to that of
the logits, and is called `after_step()`; `is_extra(name, config)`: is a tensor one that save_pretrained leaves out?"""
import importlib, pathlib, sys, torch, transformers
from safetensors.torch import load_file
from training import Training

EVERY, STEPS, RATE, DECAY = 61, 10, 1e-3, 0.01
folder, model_name, golden = sys.argv[1], sys.argv[2], sys.argv[3]
path = f"{folder}/{model_name}/step-00000000"
rows = [line.split() for line in open(f"{folder}/{model_name}/samples.txt")]
torch.set_num_threads(1)

def samples(kind):  # the tensors of all samples of a kind, by name
    fields = {}
    for row in rows:
        if row[0] == kind: fields.setdefault(row[1], []).append([float(t) for t in row[2:]])
    return {name: torch.tensor(values) for name, values in fields.items()}

def inputs_of(fields):  # what the model is called with, the targets, and the tokens after these
    if "source" in fields:  # an encoder and a decoder
        source, target, pad = fields["source"].long(), fields["target"].long(), model.config.pad_token_id
        given = torch.nn.functional.pad(target[:, :-1], (1, 0), value=model.config.decoder_start_token_id)
        return (source,), {"attention_mask": source != pad, "decoder_input_ids": given, "use_cache": False}, target.masked_fill(target == pad, -100), None
    if "image" not in fields:
        tokens = fields["tokens"].long()
        length = tokens.shape[1] - 1 - (own.ahead(model.config) if hasattr(own, "ahead") else 0)
        return (tokens[:, :length],), {"use_cache": False}, tokens[:, 1:length + 1], tokens[:, 2:]
    image = fields["image"].unflatten(1, (model.config.num_channels, model.config.image_size, model.config.image_size))
    return (image,), {}, fields["label"].long(), None

fields = samples("train")
auto = (transformers.AutoModelForSeq2SeqLM if "source" in fields else
        transformers.AutoModelForImageClassification if "image" in fields else transformers.AutoModelForCausalLM)

def module(name):
    return importlib.import_module(name) if pathlib.Path(__file__).with_name(f"{name}.py").exists() else None

own = module(model_name)
base = module(model_name.split("_")[0])
if own is None and hasattr(base, "load"): own = base  # plt_query is plt with other settings
if hasattr(own, "load"):
    model, DECAY = own.load(path), getattr(own, "DECAY", DECAY)
else:
    if hasattr(own, "before_load"): own.before_load(transformers.AutoConfig.from_pretrained(path))
    model, info = auto.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind): sys.exit(f"{model_name}: {kind} {sorted(info[kind])}")
print(model_name, type(model).__name__, sum(p.numel() for p in model.parameters()), "parameters")
model.eval()
with torch.no_grad():
    args, options, *_ = inputs_of(samples("logits"))
    logits = model(*args, **options).logits.flatten()

training = Training(model, own, DECAY)
batch = inputs_of(fields)
losses = [training.step(RATE, [batch]) for _ in range(STEPS)]

with open(golden, "w") as f:
    for v in logits[::EVERY].tolist(): f.write(f"logit {v:.9g}\n")
    for v in losses: f.write(f"loss {v:.9g}\n")

if hasattr(own, "load"): sys.exit()
again = auto.from_pretrained(path, dtype=torch.float32)
again.save_pretrained(f"{folder}/{model_name}/there")
ours, theirs = load_file(f"{path}/model.safetensors"), load_file(f"{folder}/{model_name}/there/model.safetensors")
if hasattr(own, "is_extra"): ours = {k: v for k, v in ours.items() if not own.is_extra(k, model.config)}
odd = {k for k in set(ours) ^ set(theirs)} | {k for k in set(ours) & set(theirs) if not torch.equal(ours[k], theirs[k])}
if odd: sys.exit(f"{model_name}: save_pretrained writes other tensors: {sorted(odd)[:6]}")
print("  back: the same tensors")
