#!/usr/bin/env bash
# TensorBoard itself reads what a run writes, every step once, also of a run that was resumed. Skipped where it is missing
# (XLM_TEST_PYTHON: an interpreter that has it).
. "$(dirname "$0")/xlmrun_lib.sh"
python=${XLM_TEST_PYTHON:-python3}
"$python" -c 'import tensorboard' 2>/dev/null || { echo 'no tensorboard: skipped'; exit 77; }
expect 0 'checkpoint' "$run" train "$model" --data corpus.txt "${tiny[@]}" --log-interval 1 --eval-interval 6 --save-interval 5 --max-steps 12 \
  --output-dir run --tensorboard events --sample-interval 5 --sample-prompt '</script> `a`' --sample-tokens 12
rm -r run/step-00000010 run/step-00000012
expect 0 'resumed' "$run" train --resume run
"$python" - events >read.txt 2>err.txt <<'END' || fail "TensorBoard: $(cat err.txt)"
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
for tag in ("train/loss", "valid/loss"):
  print(tag, *("%d:%.4f" % (e.step, e.value) for e in events.Scalars(tag)))
from tensorboard.backend.event_processing import plugin_event_accumulator  # for what is no scalar
from tensorboard.plugins.text.text_plugin import text_array_to_html
from tensorboard.util.tensor_util import make_ndarray
events = plugin_event_accumulator.EventAccumulator(sys.argv[1])
events.Reload()
assert events.SummaryMetadata("samples/1").plugin_data.plugin_name == "text"
samples = events.Tensors("samples/1")
assert [e.step for e in samples] == [5, 10, 12], samples
for e in samples:
  page = text_array_to_html(make_ndarray(e.tensor_proto), False)
  assert "&lt;/script&gt; `a`" in page and "<script" not in page, page
END
wanted() { # TAG KEY
  printf '%s' "$1"
  sed -n "s/.*\"step\": \([0-9]*\),.*\"$2\": \([^,}]*\).*/\1 \2/p" run/metrics.jsonl | awk '{ printf " %d:%.4f", $1, $2 } END { print "" }'
}
diff read.txt <(wanted train/loss loss && wanted valid/loss val_loss) || fail 'other numbers than the metrics'
exit $failed
