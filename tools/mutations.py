"""The breaks that `mutate` makes in glalib, one a formula: add a line for a new one."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """What is broken, the file, a text that stands in it once, and what stands there instead."""

    what: str
    file: str
    old: str
    new: str


MUTATIONS = [
    # The closed forms.
    Mutation("the bias of a predictor", "risk.py", "np.eye(dist.d) - rw * PSx", "np.eye(dist.d) - 1.1 * rw * PSx"),
    Mutation("the noise in a predictor", "risk.py", "dist.M * ww * trace_QQ", "0.9 * dist.M * ww * trace_QQ"),
    Mutation("what weights gather of other tasks", "risk.py", "+ own * trace_SQQ", "+ 0.9 * own * trace_SQQ"),
    Mutation(
        "r r^T, taken off what weights gather",
        "risk.py",
        "- np.outer(dist.r, dist.r)",
        "- 0.5 * np.outer(dist.r, dist.r)",
    ),
    Mutation("h1's weights", "risk.py", "(unit(a) / (1 + lam * h[", "(unit(a) / (1 + 2 * lam * h["),
    Mutation("h2's moments", "risk.py", "return m / (dist.M + m)", "return m / (2 * dist.M + m)"),
    Mutation("the slope of h1", "risk.py", "dh1 = -2 * ", "dh1 = -1.8 * "),
    Mutation("the slope of h2", "risk.py", "M / (M + m) ** 2", "M / (M + m)"),
    Mutation("gamma", "risk.py", "gamma = 1 + max(0.0,", "gamma = 1.01 + max(0.0,"),
    Mutation(
        "P's denominator", "risk.py", "denominator = dist.M + gamma * s", "denominator = dist.M + (gamma - 1) * s"
    ),
    Mutation("the scale of P", "risk.py", "sums) / ww / denominator)", "sums) / denominator)"),
    Mutation(
        "the best weights", "risk.py", "h * dist.R * np.array(dist.counts", "2 * h * dist.R * np.array(dist.counts"
    ),
    Mutation("the query one step on", "drift.py", "rho ** (n - 1.0 * i)", "rho ** (n - 1.0 - i)"),
    Mutation("how noise slows the right decay", "drift.py", "(1 - rho**2) / N", "(1 - rho) / N"),
    Mutation(
        "only one stationary point",
        "optima.py",
        "return sorted(points, key=lambda point: point.risk)",
        "return points[:1]",
    ),
    Mutation(
        "where enumeration ends",
        "optima.py",
        "fixed_points(F, 1.0, 1.0 + lam.max())",
        "fixed_points(F, 1.0, lam.max())",
    ),
    Mutation(
        "the cut of an interval",
        "fixed_points.py",
        "a, b = np.maximum(a, Fa * (1 - rounding))",
        "a, b = np.maximum(a, Fa * (1 + 1e-3))",
    ),
    Mutation(
        "what is clear of rounding",
        "fixed_points.py",
        "np.abs(excess) > 4 * rounding * x",
        "np.abs(excess) > 1e-3 * rounding * x",
    ),
    Mutation(
        "what is a touch",
        "fixed_points.py",
        "if abs(excess[nearest]) <= rounding * x[nearest]:",
        "if abs(excess[nearest]) <= 1e6 * rounding * x[nearest]:",
    ),
    Mutation("Theorem A's constant", "conditions.py", "bound_sharp = 8 / M", "bound_sharp = 8.8 / M"),
    Mutation("Theorem B's five", "conditions.py", "5 + 4 * (1 + lam) * signal", "5.5 + 4 * (1 + lam) * signal"),
    Mutation("Theorem B's four", "conditions.py", "5 + 4 * (1 + lam) * signal", "5 + 4.4 * (1 + lam) * signal"),
    Mutation("eigenvalues that count", "conditions.py", "z + 48 * Lam_max * z**2", "0.9 * (z + 48 * Lam_max * z**2)"),
    Mutation("what rounding hides", "conditions.py", "return 4 * dist.d * EPS", "return 0 * dist.d * EPS"),
    Mutation(
        "the paper's condition", "conditions.py", "    bound_paper = M + s_min\n", "    bound_paper = M + 1.1 * s_min\n"
    ),
    Mutation("uniqueness without relevance", "conditions.py", "holds_paper = relevant and", "holds_paper = True and"),
    Mutation("the sign of P for a monotone gate", "optima.py", " + monotone_points(dist, -dist.r)", ""),
    Mutation("the weights of the cone", "optima.py", "L = np.tril(np.ones((dist.K, dist.K)))", "L = np.eye(dist.K)"),
    Mutation("the noise of blocks on the cone", "optima.py", "np.sqrt(h) * shared", "h * shared"),
    Mutation("the last gate of a constant gate", "optima.py", "np.arange(n, 0, -1.0)", "np.arange(n - 1, -1, -1.0)"),
    Mutation(
        "the sums of a constant gate",
        "optima.py",
        "sums, ww = np.exp(-age * t)",
        "sums, ww = np.exp(-(age + 1) * t)",
    ),
    # Spectra.
    Mutation(
        "small eigenvalues of a diagonal",
        "spectra.py",
        "return np.diagonal(matrix).copy(), np.eye",
        "return np.diagonal(matrix) * (np.diagonal(matrix) > EPS * matrix.max()), np.eye",
    ),
    Mutation("where an eigenvalue is zero", "spectra.py", "floor = len(values) * EPS * values[-1]", "floor = -1.0"),
    Mutation("graded singular values", "spectra.py", "GRADED = 1e4", "GRADED = np.inf"),
    # Prompts.
    Mutation("which task a block has", "distribution.py", "beta.unbind(1), strict", "beta.flip(1).unbind(1), strict"),
    Mutation("the query's task", "distribution.py", "tasks[:, :-1], tasks[:, -1]", "tasks[:, :-1], tasks[:, 0]"),
    Mutation("label noise", "distribution.py", "y = y + self.sigma * normal", "y = y + 0.9 * self.sigma * normal"),
    Mutation(
        "the query's noise", "distribution.py", "y_query = y_query + self.sigma", "y_query = y_query + 0.9 * self.sigma"
    ),
    Mutation(
        "M", "distribution.py", "return self.sigma * self.sigma + self._signal", "return self.sigma + self._signal"
    ),
    Mutation(
        "equality", "distribution.py", "return self.d, self.counts, self.sigma, *(", "return self.d, self.counts, *("
    ),
    Mutation("the range of R", "spectra.py", "kernel = vectors[:, values == 0]", "kernel = vectors[:, values < 0]"),
    Mutation("a for graded counts", "spectra.py", "singular**2, singular * (U.T @ z)", "singular**2, U.T @ z"),
    Mutation("B where C is not the identity", "spectra.py", "live @ (live.T @ half_C @ U)", "live @ (live.T @ U)"),
    Mutation(
        "a delimiter's place",
        "layout.py",
        "is_delimiter[np.cumsum(sizes) - 1] = True",
        "is_delimiter[np.cumsum(sizes) - 2] = True",
    ),
    Mutation(
        "a delimiter's weight",
        "layout.py",
        "out[before_last] = out[before_last + 1]",
        "out[before_last] = out[before_last - 1]",
    ),
    Mutation("the context of delimiters", "layout.py", "block + K * is_delimiter, np.full", "block, np.full"),
    Mutation(
        "prompts of two precisions", "prompts.py", "part.shape != shape or part.dtype != x.dtype", "part.shape != shape"
    ),
    Mutation("prompts of other counts", "distribution.py", "prompts.counts not in (None, self.counts)", "False"),
    Mutation("masks", "_check.py", "isinstance(value, np.ma.MaskedArray)", "False"),
    # The recurrence, its gates and its module.
    Mutation(
        "the recurrence",
        "attention.py",
        "state = G_i * state + v_i[..., :, None] *",
        "state = state + v_i[..., :, None] *",
    ),
    Mutation(
        "the decay within a chunk",
        "attention.py",
        "torch.addcmul(e_t, row, g_t[..., None, :])",
        "torch.addcmul(e_t, row, g_t[..., None, :] ** 1.01)",
    ),
    Mutation("the state between chunks", "attention.py", "S = torch.addcmul(write, decay, S)", "S = write + S"),
    Mutation(
        "whose gate acts on whose write",
        "gates.py",
        "later = xp.concatenate((_part(g, axis, 1, None), xp.ones_like(_part(g, axis, 0, 1))), axis)",
        "later = g",
    ),
    Mutation("the falls of signed weights", "gates.py", "for sign in (1, -1))", "for sign in (1, -0.9))"),
    Mutation("Eq. (9)'s value matrix", "layer.py", "self.W_v[d] = P_q", "self.W_v[d - 1] = P_q"),
    Mutation("the sign of deeper layers", "model.py", "sign = 1 if layers == 1 else -1", "sign = 1"),
    Mutation(
        "the key channels of a difference",
        "model.py",
        "torch.cat([scaled(scale), -scaled(scale)], 1)",
        "torch.cat([scaled(scale), scaled(scale)], 1)",
    ),
    Mutation(
        "the state without causal mask",
        "layer.py",
        "[q[..., :n, :] @ S.mT, apply_state",
        "[q[..., :n, :] @ (0.9 * S).mT, apply_state",
    ),
    Mutation(
        "the query's own write",
        "layer.py",
        "own = v * (k * q).sum(-1, keepdim=True)",
        "own = 0 * v * (k * q).sum(-1, keepdim=True)",
    ),
    Mutation(
        "the state before the first token", "attention.py", "o = o + apply_state(S, q, P", "o = o - apply_state(S, q, P"
    ),
    Mutation("the query's gate in a weight", "model.py", " * g_q[..., :, None, :]", " * g_q[..., :, None, :] ** 0"),
    Mutation(
        "each query alone before a gate",
        "layer.py",
        "self.own(Z[..., n:, None, :])[..., 0, :]",
        "self.own(Z[..., n:, :])",
    ),
    Mutation("the gate of a write, deep down", "layer.py", "v = let_in * v", "v = 1.1 * let_in * v"),
    Mutation("the gate of a write, read", "layer.py", "let_in[..., :n, :] * omega", "let_in[..., :n, :] ** 2 * omega"),
    Mutation("the gate of a write in a weight", "model.py", "(u * later_products", "(1.1 * u * later_products"),
    Mutation("a gate's weights of 16 bits", "own_gate.py", "y.dtype.itemsize < 4", "y.dtype.itemsize < 2"),
    Mutation("logits of gates", "layer.py", "np.log(g) - np.log1p(-g)", "np.log(g) - 0.9 * np.log1p(-g)"),
    Mutation("arrays as lists", "_records.py", 'if hasattr(value, "tolist") else', 'if hasattr(value, "list") else'),
    Mutation("WPGD's preconditioner", "wpgd.py", "(P @ gradient)", "(P.swapaxes(-1, -2) @ gradient)"),
    Mutation("Bayes and ridge", "baselines.py", "rows = penalty**0.5", "rows = penalty"),
    Mutation("what noise keeps from Bayes", "baselines.py", "s**2 / (s**2 + dist.sigma**2)", "s / (s + dist.sigma)"),
    Mutation("what a layer in context reads", "in_context.py", "written + out[:, -1]", "written + out[:, 0]"),
    Mutation("errors that prompts explain", "comparison/side_by_side.py", "losses - luck @ self.shares", "losses"),
    Mutation(
        "leverage in a standard error", "comparison/side_by_side.py", "- np.sum(U**2, 1))", "- 0 * np.sum(U**2, 1))"
    ),
    Mutation(
        "the column of labels", "comparison/readers.py", "torch.isclose(Z[0, :, d]", "torch.isclose(Z[0, :, d - 1]"
    ),
    Mutation("what is below Bayes", "comparison/result.py", "gap < -max(SURE", "gap < max(SURE"),
    Mutation("the sign of a direction", "comparison/result.py", "np.linalg.norm(a + b)", "np.linalg.norm(a - b)"),
    Mutation(
        "the query's task for Bayes", "baselines.py", "np.linalg.pinv(F) @ dist.r", "np.linalg.pinv(F) @ (0.9 * dist.r)"
    ),
    Mutation("the standard error", "simulate.py", "losses.std().item() / draws**0.5", "losses.std().item() / draws"),
    Mutation("the risk known exactly", "simulate.py", "known + losses.mean()", "losses.mean()"),
    Mutation("the weights' scale", "probe.py", "omega.square().mean().sqrt()", "omega.square().sum().sqrt()"),
    Mutation("labels drawn anew", "probe.py", "(drawn.x - again.x) * tasks", "(drawn.x + again.x) * tasks"),
    Mutation("the jackknife", "probe.py", "(GROUPS - 1) ** 0.5 * part", "GROUPS**-0.5 * part"),
    Mutation("the share explained", "probe.py", "1 - (fy - _step", "1 - 2 * (fy - _step"),
    Mutation("what the fit owes to its draws", "probe.py", "GROUPS * share - (GROUPS - 1) * parts[2].mean()", "share"),
    # Errors without tokens, training, data.
    Mutation(
        "across the direction of the values",
        "token_free.py",
        "f = f - (f * u).sum(-1, keepdim=True) * u",
        "f = f - 0 * (f * u).sum(-1, keepdim=True) * u",
    ),
    Mutation("the sixth moment", "token_free.py", "8 * (Hw @ Hw)", "7 * (Hw @ Hw)"),
    Mutation("the fourth moment", "token_free.py", "+ 2 * (A**2).sum()", "+ (A**2).sum()"),
    Mutation(
        "the query's label noise",
        "token_free.py",
        "Phi, q, k, v) + dist.sigma**2",
        "Phi, q, k, v)",
    ),
    Mutation(
        "the state of a run",
        "training/checkpoint.py",
        'self.generator.set_state(torch.from_numpy(arrays["generator"]))',
        "pass",
    ),
    Mutation("the phases of a run", "training/checkpoint.py", 'kept["phases"] + [', 'kept["phases"][:0] + ['),
    Mutation("Adam's memory", "training/fitting.py", "BETAS = (0.9, 0.99)", "BETAS = (0.9, 0.999)"),
    Mutation(
        "the schedule's cosine", "training/fitting.py", "return 0.5 * (1 + math.cos(", "return 0.5 * (1 - math.cos("
    ),
    Mutation(
        "how fast gates learn", "training/fitting.py", '"factor": recipe.gate_lr if name', '"factor": 1.0 if name'
    ),
    Mutation("weights of 16 bits", "training/fitting.py", "p.copy_(run.weights[name])", "pass"),
    Mutation("the square of an error", "training/objective.py", "return errors**2", "return errors.abs()"),
    Mutation(
        "the copies' own draws", "training/many.py", "manual_seed(seed) for seed", "manual_seed(seeds[0]) for seed"
    ),
    Mutation("whose leftovers go", "reproduce/sweep.py", "owner == host() and ", ""),
    Mutation("relative imports", "training/fingerprints.py", "if node.level:", "if False:"),
    Mutation("the file that is replaced", "files.py", "os.replace(part, path)", "pass"),
    Mutation("the files of sub-packages", "training/fingerprints.py", 'rglob("*.py")', 'glob("*.py")'),
    Mutation("the share of runs that are over", "reproduce/bar.py", " if i not in self.done", ""),
    Mutation("the share of a run", "progress.py", "repr(done / steps)", "repr(done)"),
    Mutation("the digest of a result", "reproduce/sweep.py", ' or kept["digest"] != _seal(json.dumps(result))', ""),
    Mutation("the date of a result", "reproduce/provenance.py", "%Y-%m-%d %H:%M UTC", "%d.%m.%Y"),
    Mutation("the status of a failed run", "reproduce/command.py", 'int(any("error" in row for row in rows))', "0"),
    Mutation(
        "the authors' numbers",
        "reproduce/table.py",
        '("gla", 200): (0.6619, 0.6617)',
        '("gla", 200): (0.6619, 0.6671)',
    ),
    Mutation("risk over d", "reproduce/one_run.py", '"risk": estimate.risk / dist.d', '"risk": estimate.risk'),
    Mutation("the order of a panel", "reproduce/panels.py", '"d": (0.8, 0.2)', '"d": (0.2, 0.8)'),
    Mutation("channels of both signs", "reproduce/figure1.py", "LABEL_ROW = (2.0, -1.0)", "LABEL_ROW = (2.0, 1.0)"),
    Mutation("a stack that starts small", "reproduce/depth.py", 'layer.W_v.mul_(START["values"])', "pass"),
    Mutation("what few examples tell", "baselines.py", "min(count / dist.d, 1.0)", "1.0"),
    Mutation("what the prompts make of the line", "reproduce/depth.py", "distance - share *", "distance + share *"),
    Mutation("a gate that is blind", "reproduce/figure1.py", "layer.W_g[: dist.d + 1] = 0", "pass"),
    Mutation(
        "the best use of a label energy",
        "label_energy.py",
        "U = count_hat(S, n, d) + d - 1",
        "U = count_hat(S, n, d) + d",
    ),
    Mutation("what later gates do to a block", "label_energy.py", "one * g, two * gg", "one, two"),
    Mutation("what a gate that reads meets", "label_energy.py", "2 * mixed * told / s", "2 * mixed * told"),
    Mutation("a start at the line", "reproduce/below.py", "* line.omega[-1] *", "*"),
    Mutation(
        "what a write erases", "delta/attention.py", "(b_i * error)[..., :, None]", "(0.9 * b_i * error)[..., :, None]"
    ),
    Mutation("what a chunk erases of its own", "delta/attention.py", "system = b * (D *", "system = 0.9 * b * (D *"),
    Mutation("what a chunk erases of the past", "delta/attention.py", "for x in (v, P * k))", "for x in (v, k))"),
    Mutation("a query's step", "delta/model.py", "v_q - g_q * (k_q", "v_q - 0.9 * g_q * (k_q"),
    Mutation("the limit of a step", "delta/model.py", "x = self.most * torch", "x = 0.9 * self.most * torch"),
    Mutation("keys of length one", "delta/model.py", "k, dim=-1) if", "k, dim=-2) if"),
    Mutation("the scale of values", "delta/model.py", "best.scale * model.h", "0.9 * best.scale * model.h"),
    Mutation("the scale of a delta rule", "delta/risk.py", "1 - 2 * factor * overlap", "1 - factor * overlap"),
    Mutation(
        "the fourth moments of a feature", "delta/law.py", "self.xi * (2 * self.xi * e +", "self.xi * (self.xi * e +"
    ),
    Mutation("the noise that a step writes", "delta/law.py", "self.noise * w**2 *", "self.noise * w *"),
    Mutation("the best steps for one task", "delta/law.py", "p * e / (fourth * e", "p * e / (1.1 * fourth * e"),
    Mutation("the weights of small steps", "delta/law.py", "float(t3 / (t4 - t3))", "float(t3 / t4)"),
    Mutation("fourth moments of keys of length one", "delta/law.py", "2 * np.diag(w @ f**2)", "np.diag(w @ f**2)"),
    Mutation("what a length does to a label", "delta/law.py", "2 * (both @ one.T)", "2 * (both @ none.T)"),
    Mutation("starts with decays", "delta/steps.py", "for start in more]", "for start in more[:1]]"),
    Mutation(
        "what a block does to the one before", "delta/blocks.py", "decay**2 * mu2 * energy1", "decay**2 * energy1"
    ),
    Mutation("the energy of a block", "delta/blocks.py", "mu * np.expm1(-n * grow)", "mu * np.expm1(-grow)"),
    Mutation("the line of equal weights", "reproduce/inside.py", '(Layout(), "uniform")', '(Layout(), "free")'),
    Mutation("marks for the delta rule", "reproduce/live.py", "Layout(context=True)", "Layout()"),
    Mutation("what a copy's gate does not see", "reproduce/below.py", "slice(d, d + 1)", "slice(d - 1, d)"),
    Mutation("a start that is closed", "reproduce/plateau.py", "layers[0].W_k[dist.d] = 0", "layers[0].W_k[0] = 0"),
    Mutation(
        "a merged start is the same function",
        "reproduce/starts.py",
        "layer.W_q @ layer.W_k.mT",
        "layer.W_k @ layer.W_q.mT",
    ),
    Mutation(
        "neighbours of another language", "reproduce/messages.py", "_one(1, len(languages)", "_one(0, len(languages)"
    ),
    Mutation("the gates after a write", "reproduce/characters.py", "self.g[..., 1 : at + 1, :]", "self.g[..., :at, :]"),
    Mutation("gates at and after a boundary", "reproduce/crossing.py", "at : at + more + 1, :]", "at : at + more, :]"),
    Mutation(
        "who was trained with marks", "reproduce/text.py", "T + 1, marked, run.generator", "T + 1, True, run.generator"
    ),
    Mutation("who asks and who answers", "reproduce/circuit.py", "(W_q @ W_k.mT)", "(W_k @ W_q.mT)"),
    Mutation("the command's digits", "cli.py", "if 1e-3 <= value < 1e4 else", "if True else"),
    Mutation("negative numbers on the command line", "cli.py", 'out[-1] += "=" + word', "out.append(word)"),
    Mutation(
        "quotes in a figure's data",
        "plotting.py",
        "table.writerow(map(_entry, columns))",
        'body.write(",".join(columns) + "\\n")',
    ),
    # The certificate of the constant gate.
    Mutation(
        "the chord's error",
        "constant_gate.py",
        "square = (1 - c) ** 2, (high.c - c) ** 2 / 8",
        "square = (1 - c) ** 2, (high.c - c) ** 2 / 800",
    ),
    Mutation(
        "the largest of a cell's ends",
        "constant_gate.py",
        "return self.gain(p, V, W).max(axis=0)",
        "return self.gain(p, V, W).min(axis=0)",
    ),
    Mutation(
        "the chord's error by a tenth",
        "constant_gate.py",
        "square = (1 - c) ** 2, (high.c - c) ** 2 / 8\n",
        "square = (1 - c) ** 2, (high.c - c) ** 2 / 8.8\n",
    ),
    Mutation(
        "the chord's error in W",
        "constant_gate.py",
        "return off_p, square * three, chord / 4 +",
        "return off_p, square * three, chord / 4.4 +",
    ),
    Mutation("the sum of second derivatives", "constant_gate.py", "np.minimum(2 / c**3,", "np.minimum(1.8 / c**3,"),
    Mutation(
        "the second derivative of V", "constant_gate.py", "np.minimum((2 + 6 * y) *", "np.minimum((1.8 + 5.4 * y) *"
    ),
    Mutation("the chord's error in p", "constant_gate.py", "np.abs(p) + off_p + slack_p", "np.abs(p) + slack_p"),
    Mutation(
        "the slope of the gain",
        "constant_gate.py",
        "return float(2 * (self.r @ dS) / (self.r @ S)",
        "return float(1.9 * (self.r @ dS) / (self.r @ S)",
    ),
    Mutation(
        "examples after a block",
        "constant_gate.py",
        "float(dist.n) - np.cumsum(counts)",
        "float(dist.n) - np.cumsum(counts) + 1",
    ),
    # Layers in use.
    Mutation(
        "what the general rule erases",
        "architectures/recurrence.py",
        "- erased[..., :, None] *",
        "- 0.9 * erased[..., :, None] *",
    ),
    Mutation("RetNet's slowest head", "architectures/forms.py", "2 ** (-5 - torch.arange", "2 ** (-4 - torch.arange"),
    Mutation("the tie of HGRN-2", "architectures/forms.py", "gla(q, 1 - f, v, f,", "gla(q, 1 - 0.9 * f, v, f,"),
    Mutation("the tie of Mamba", "architectures/forms.py", "(dt * u)[..., None], gates", "u[..., None], gates"),
    Mutation("the tie of Mamba-2", "architectures/forms.py", "dt[..., None] * x, parts.exp", "x, parts.exp"),
    Mutation(
        "the floor of mLSTM's normaliser",
        "architectures/forms.py",
        "torch.maximum(total.abs(), (-m)",
        "torch.maximum(total.abs(), (-2 * m)",
    ),
    Mutation("RWKV-4's bonus", "architectures/forms.py", "own = u[:, None] + k", "own = 0 * u[:, None] + k"),
    Mutation("RWKV reads before it writes", "architectures/parts.py", "pad(gates, (0, 0, 1, 0))[..., :-1, :]", "gates"),
    Mutation("what KDA erases", "architectures/forms.py", "g, step * g * k, k))", "g, step * k, k))"),
    Mutation("what RWKV-7 erases", "architectures/forms.py", "kk, a * kk)", "a * kk, kk)"),
    Mutation("H3's filter", "architectures/forms.py", "taps = shift.flip(-1)", "taps = shift"),
    Mutation(
        "RWKV-5's constant gates",
        "architectures/forms.py",
        "w.expand_as(k), u, scale",
        "w.flip(0).expand_as(k), u, scale",
    ),
    Mutation("how S4D turns", "architectures/forms.py", "step.imag[:, None] *", "-step.imag[:, None] *"),
    Mutation(
        "what S4D writes", "architectures/forms.py", "2 * torch.expm1(step) / A", "2 * torch.expm1(step) / A.abs()"
    ),
    Mutation("an exponential forget gate", "architectures/forms.py", "log_g = f if", "log_g = f - 1 if"),
    Mutation("steps that go back", "architectures/parts.py", "amin().item() < 0)", "amin().item() < -9)"),
    Mutation("the tie of the RG-LRU", "architectures/forms.py", "torch.expm1(2 * log_g", "torch.expm1(log_g"),
    Mutation(
        "whose weights may fall",
        "architectures/catalogue.py",
        'self.writes != "whole"',
        'self.writes != "tied to the gate"',
    ),
    Mutation(
        "bytes that a convolution sees",
        "reproduce/byte_mamba.py",
        "((len(kernel) - 1) // 2, len(kernel) // 2)",
        "(len(kernel) // 2, (len(kernel) - 1) // 2)",
    ),
    Mutation(
        "where a piece begins", "reproduce/byte_texts.py", "np.cumsum([len(part.encode())", "np.cumsum([len(part)"
    ),
    Mutation(
        "what is left across a mark",
        "reproduce/pretrained.py",
        "np.exp(passed[:, at - 1, None]",
        "np.exp(passed[:, at, None]",
    ),
    Mutation(
        "what passes as an answer", "exercises/verdicts.py", "allowed = within * (1 + 1e-9)", "allowed = within * 1.5"
    ),
    Mutation("a fraction in an answer", "exercises/grade.py", "above / below / (100", "above * below / (100"),
    Mutation(
        "which decays are later", "architectures/zoo.py", "cumprod(1).flip(1)[:, 1:]", "cumprod(1).flip(1)[:, :-1]"
    ),
    Mutation(
        "when a layer has arrived",
        "reproduce/architectures.py",
        'row["risk"] < ARRIVED * line',
        'row["risk"] > ARRIVED * line',
    ),
    Mutation("which block a query names", "reproduce/named.py", "torch.where(second.view", "torch.where(~second.view"),
]
