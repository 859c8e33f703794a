"""Training steps as xlm takes them, of a model of transformers: AdamW in which matrices decay and vectors do not, the
gradient clipped by its norm, and the losses beside that of the logits. reference.py says what `own` is."""
import contextlib
import torch


def without_dropout(model):
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout): module.p = 0.0


def positive(config, key):
    return getattr(config, key, 0) or 0


class Training:
    def __init__(self, model, own=None, decay=0.01, clip=1.0, autocast=None):
        without_dropout(model)
        self.model, self.clip, self.autocast = model, clip, autocast
        config = getattr(model, "config", None)
        self.balance, self.z_loss = positive(config, "router_aux_loss_coef"), positive(config, "router_z_loss_coef")
        self.more = own.Training(model) if hasattr(own, "Training") else None
        self.parameters = list(model.parameters()) + (self.more.parameters if self.more else [])
        groups = [{"params": [p for p in self.parameters if p.dim() >= 2], "weight_decay": decay},
                  {"params": [p for p in self.parameters if p.dim() < 2], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
        self.router_logits = self.norm = None  # of the last microbatch, of the last step

    def loss(self, args, options, targets, later):
        routed = self.balance or self.z_loss
        out = self.model(*args, **options, **({"output_router_logits": True} if routed else {}))
        loss = torch.nn.functional.cross_entropy(out.logits.flatten(0, -2), targets.flatten())
        self.router_logits = out.router_logits if routed else None
        if self.balance: loss = loss + self.balance * out.aux_loss
        if self.z_loss:
            loss = loss + self.z_loss * torch.stack([x.logsumexp(-1).square().mean() for x in out.router_logits]).mean()
        if self.more: loss = loss + self.more.loss(*args, targets, later)
        return loss

    def step(self, rate, microbatches):
        """microbatches: each the arguments of `loss`. Returns the mean of their losses."""
        self.optimizer.zero_grad()
        total = 0
        for batch in microbatches:
            with torch.autocast("cpu", self.autocast) if self.autocast else contextlib.nullcontext():
                loss = self.loss(*batch) / len(microbatches)
            loss.backward()
            total += loss.item()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        self.norm = float(torch.sqrt(sum((g.double() ** 2).sum() for g in gradients)))
        for g in gradients: g *= min(1.0, self.clip / (self.norm + 1e-6))
        for group in self.optimizer.param_groups: group["lr"] = rate
        self.optimizer.step()
        if self.more: self.more.after_step()
        return total
