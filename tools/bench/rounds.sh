# rounds N: a model of N small rounds, as a source text; what takes time in planning it is the number of rounds.
rounds() {
  cat << END
model rounds
dim v = 16
dim h = 8
dim g = 4
shard batch over dp
shard g over tp
input tokens[batch, seq] of v
input targets[batch, seq] of v
param e[v, h] ~ normal(0.02)
param u[h, v] ~ normal(0.02)
x = lookup(e, tokens)
repeat $1 as i over pp {
  param w[h, g] ~ normal(0.1)
  param y[g, h] ~ normal(0.1)
  x = x + relu(x @ w) @ y
}
loss cross_entropy(x @ u, targets)
END
}
