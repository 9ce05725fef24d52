"""What is claimed of reasonless traces, by the paper, by others and by us: a number each.

Verdicts follow in `helpers.show.claims`.
"""

from dataclasses import dataclass

SAME = 0.05  # differences as small as this count as none


@dataclass(frozen=True)
class Claim:
    """One claim about one effect.

    Attributes:
        says: the claim, in words.
        source: who makes it.
        table: the CSV that has the number, in a scale's results.
        quantity: of that table, see `helpers.differences`.
        distributions: on which kinds of maze it is claimed.
        claimed: ``above`` (more than 0), ``below`` (less than 0), ``not below`` (at most `SAME`
            less than 0), ``not above`` (at most `SAME`), ``more`` (more than `SAME`), ``half`` (a
            share of more than one half).
        experiment: which makes that number, where it is not named as the table's folder.
    """

    says: str
    source: str
    table: str
    quantity: str
    distributions: tuple[str, ...]
    claimed: str = "above"
    experiment: str = ""


PAPER, PERFORMATIVE = "Stechly et al. 2025", "Palod et al. 2025"
DUALFORMER, FILLER = "Su et al. 2024", "Pfau et al. 2024"
COCONUT, ICOT = "Hao et al. 2024", "Deng et al. 2024"
MMADA = "Yang et al. 2025"
FEW = "Mukherjee et al. 2025"
THREE = ("solution_only", "correct", "swapped")
BOTH = ("wilson", "drunkards_walk")
OUT = ("drunkards_walk", "searchformer")
LENGTH = "length of trace with that of A*'s"
ENDLESS = "answers without end that could have one"
SURER = "surer of the trace if the plan is valid, above one half"
CLAIMS = (
    Claim("Other mazes' traces serve as well as a maze's own, in distribution", PAPER,
          "differences.csv", "plan_valid: swapped - correct", ("wilson", ), "not below"),
    Claim("Other mazes' traces serve better than a maze's own, out of distribution", PAPER,
          "differences.csv", "plan_valid: swapped - correct", OUT),
    Claim("Another maze's trace is better than none, in distribution", "asked here",
          "differences.csv", "plan_valid: swapped - solution_only", ("wilson",)),
    Claim("Another maze's trace is better than none, out of distribution", "asked here",
          "differences.csv", "plan_valid: swapped - solution_only", OUT),
    Claim("A model without a trace regains some of what it lost when its response begins where it "
          "did in training", "ours", "position/effects.csv",
          "plan_valid: solution_only realigned - solution_only", ("drunkards_walk",)),
    Claim("So does a model of correct traces", "ours", "position/effects.csv",
          "plan_valid: correct realigned - correct", ("drunkards_walk",)),
    Claim("A model of other mazes' traces gains nothing by it", "ours", "position/effects.csv",
          "plan_valid: swapped realigned - swapped", ("drunkards_walk",), "not above"),
    Claim("Moved back so, a model without a trace has more than half of the lead of other mazes' "
          "traces", "ours", "position/effects.csv",
          "plan_valid: (solution_only realigned - solution_only) / (swapped - solution_only)",
          ("drunkards_walk",), "half"),
    Claim("Gaps in training do for a model without a trace what other mazes' traces do: more than "
          "half of their lead", "ours", "position/effects.csv",
          "plan_valid: (solution_only with gaps - solution_only) / (swapped - solution_only)",
          OUT, "half"),
    Claim("With gaps for all, other mazes' traces are still better than a maze's own, out of "
          "distribution", "asked here", "position/effects.csv",
          "plan_valid: swapped with gaps - correct with gaps", OUT),
    *(Claim(says, PAPER, "searchformer/differences.csv", "plan_valid: swapped - correct", kinds)
      for says, kinds in (
          ("Trained on Searchformer-style mazes, other mazes' traces serve better than a maze's "
           "own, in distribution", ("searchformer",)),
          ("And out of it", ("drunkards_walk", "wilson")))),
    Claim("Trained on them, another maze's trace is better than none", "asked here",
          "searchformer/differences.csv", "plan_valid: swapped - solution_only",
          ("searchformer", "drunkards_walk")),
    *(Claim(says, whose, "spectrum/effects.csv", f"plan_valid: {quantity}", BOTH, claimed)
      for says, whose, quantity, claimed in (
          ("With half of the traces other mazes' a model plans as well as with its own alone",
           "asked here", "partly_swapped 50 % - correct", "not below"),
          ("Events in random order serve worse than in their own", "asked here",
           "shuffled - correct", "below"),
          ("So they do behind a trace that was drawn and has an end", "asked here",
           "shuffled drawn - correct drawn", "below"),
          ("Cells under other names, always the same, serve as well as under their own",
           "asked here", "renamed - correct", "not below"),
          ("A random walk's trace is better than none", "asked here",
           "walk - solution_only", "above"),
          ("The trace of a search breadth first serves as well as A\\*'s", "asked here",
           "breadth_first - correct", "not below"),
          ("So does one depth first", "asked here", "depth_first - correct", "not below"),
          ("And A\\* that goes on behind the goal, for nothing", "asked here",
           "wasteful - correct", "not below"),
          ("Traces of which parts are left out by chance serve as well as whole ones", DUALFORMER,
           "dropped - correct", "not below"),
          ("Filler in a trace's place plans no better than no trace", FILLER,
           "filler - solution_only", "not above"),
          ("Nor does it behind filler that was drawn and has an end", FILLER,
           "filler drawn - solution_only", "not above"),
          ("Filler serves better where half of the traces are correct", FILLER,
           "half_filler drawn - filler drawn", "above"),
          ("Gaps in training do nothing for a model of half traces", "asked here",
           "truncated with gaps - truncated", "not above"))),
    Claim("Models of other mazes' traces write valid ones less often than models of a maze's own",
          PAPER, "differences.csv", "trace_valid: swapped - correct", BOTH, "below"),
    Claim("Models of right traces write invalid ones before valid plans: before more than 5 % of "
          "them", PAPER, "coupling/effects.csv", "valid plans behind an invalid trace, correct",
          BOTH, "more"),
    Claim("They do so more on long problems than on short ones", PAPER, "coupling/effects.csv",
          "valid plans behind an invalid trace: long - short problems, correct", BOTH),
    Claim("Some of the coupling of plan and trace is in the published verdict, which asks for the "
          "plan's length (phi)", "ours", "coupling/effects.csv",
          "phi: published - without the plan's length, correct",
          ("wilson", "dfs", "drunkards_walk")),
    Claim("The length of a trace goes with that of A\\*'s in distribution (rank correlation)",
          PERFORMATIVE, "length/effects.csv", f"{LENGTH}, correct", ("wilson",)),
    Claim("Out of distribution it does not", PERFORMATIVE, "length/effects.csv",
          f"{LENGTH}, correct", OUT, "not above"),
    Claim("On grids without walls traces do not end: more than 5 % of those that could",
          PERFORMATIVE, "length/effects.csv", f"{ENDLESS}, correct", ("free_space",), "more"),
    Claim("Nor where the response begins where training had it", "ours", "length/effects.csv",
          f"{ENDLESS}, correct realigned", ("free_space",), "more"),
    Claim("A model is surer of its trace where the plan is valid (chance above one half)",
          "asked here", "length/effects.csv", f"{SURER}, correct", BOTH),
    Claim("So is a model of other mazes' traces", "asked here", "length/effects.csv",
          f"{SURER}, swapped", BOTH),
    *(Claim(f"With twice the examples `{condition}` plans still better", "asked here",
            "convergence/effects.csv", f"plan_valid: {condition} after all - after 1/2",
            BOTH) for condition in THREE),
    *(Claim(f"A model that fills its answer in plans better than one that writes it, `{condition}`",
            "asked here", "diffusion/effects.csv",
            f"plan_valid: {condition} diffusion - {condition}", BOTH)
      for condition in THREE),
    Claim("Without a trace it plans better than one that writes from the goal to the start, too",
          "asked here", "diffusion/effects.csv",
          "plan_valid: solution_only diffusion - solution_only backwards", BOTH),
    Claim("Plans behind correct traces are better written from the goal to the start", "asked here",
          "diffusion/effects.csv", "plan_valid: correct backwards - correct", BOTH),
    Claim("A trace helps a model that fills in", "asked here", "diffusion/effects.csv",
          "plan_valid: correct diffusion - solution_only diffusion", BOTH),
    Claim("Other mazes' traces serve it as well as a maze's own", "asked here",
          "diffusion/effects.csv", "plan_valid: swapped diffusion - correct diffusion",
          BOTH, "not below"),
    Claim("It reveals a plan from the goal to the start (rank correlation of place and step)",
          "asked here", "diffusion/effects.csv", "order of the plan, solution_only diffusion",
          ("wilson",), "below"),
    *(Claim(f"{says}, `{condition}`", whose, "diffusion/reward_effects.csv",
            f"plan_valid: {condition} after grpo - {condition}{less}", ("wilson",),
            experiment="diffusion_reward")
      for says, whose, less in (
          ("A reward for valid plans makes those that it fills in better", MMADA, ""),
          ("And better than as many supervised steps more", "asked here", " after continued"))
      for condition in THREE),
    *(Claim(f"{says} `{other}` plans better than no trace", "asked here", "compute/effects.csv",
            f"plan_valid: {other} - solution_only{budget}", BOTH, experiment=experiment)
      for says, budget, experiment in (
          ("After equally many operations,", " at equal FLOPs", "compute"),
          ("After equally many words of responses,", " at equal response tokens", "compute_words"))
      for other in ("correct", "swapped")),
    Claim("A trace of another maze is room alone: filler plans as well", "asked here",
          "compute/effects.csv", "plan_valid: swapped - filler drawn", BOTH, "not above"),
    Claim("Loops replace the trace: a looped model without one plans as well as one with its "
          "maze's own", "asked here", "compute/effects.csv",
          "plan_valid: correct - solution_only looped", BOTH, "not above"),
    Claim("They help a model without a trace", "asked here", "compute/effects.csv",
          "plan_valid: solution_only looped - solution_only", BOTH),
    Claim("A word takes more loops where A\\* closes more cells (rank correlation)", "asked here",
          "compute/effects.csv", "loops with A*'s expansions, solution_only", BOTH),
    Claim("The length of other mazes' traces does not follow A\\*'s expansions", "asked here",
          "compute/effects.csv", "length with A*'s expansions, swapped", BOTH, "not above"),
    Claim("Vectors that are fed back keep more of a trace than as many pauses", COCONUT,
          "continuous/effects.csv", "plan_valid: correct continuous - correct paused", BOTH),
    Claim("And more than nothing in its place", COCONUT, "continuous/effects.csv",
          "plan_valid: correct continuous - correct removed", BOTH),
    Claim("A trace can be taken away step by step: the model plans better than one that never had "
          "one", ICOT, "continuous/effects.csv",
          "plan_valid: correct removed - solution_only kept", BOTH),
    Claim("Vectors that are fed back serve as well as the trace in words", COCONUT,
          "continuous/effects.csv", "plan_valid: correct kept - correct continuous", BOTH,
          "not above"),
    Claim("Vectors in place of other mazes' traces serve as well", "asked here",
          "continuous/effects.csv", "plan_valid: correct continuous - swapped continuous", BOTH,
          "not above"),
    Claim("They are used: with another maze's a model plans worse", "asked here",
          "continuous/effects.csv",
          "plan_valid: correct continuous - correct continuous, another's latents", BOTH),
    *(Claim(f"Where a plan's words weigh four times as much in the loss, other mazes' traces serve "
            f"{how} a maze's own, {where} distribution", "asked here", "plan_weight/effects.csv",
            "plan_valid: swapped - correct, plan weight 4", kinds, claimed)
      for how, where, kinds, claimed in (
          ("as well as", "in", ("wilson",), "not below"),
          ("better than", "out of", OUT, "above"))),
    *(Claim(f"That weight makes `{condition}` plan better", "asked here", "plan_weight/effects.csv",
            f"plan_valid: plan weight 4 - plan weight 1, {condition}", BOTH)
      for condition in ("correct", "swapped")),
    *(Claim(f"After half of the examples a maze's own trace is better than none on {grid}",
            "asked here", "regime/effects.csv", f"plan_valid: correct - solution_only, on {grid}",
            BOTH) for grid in ("6×6", "8×8", "10×10")),
    Claim("A reward for valid plans makes plans better where traces were correct", PAPER,
          "grpo/effects.csv", "plan_valid: correct after grpo - correct", ("wilson",)),
    Claim("And where they were other mazes'", PAPER, "grpo/effects.csv",
          "plan_valid: swapped after grpo - swapped", ("wilson",)),
    Claim("It makes correct traces worse", PAPER, "grpo/effects.csv",
          "trace_valid: correct after grpo - correct", ("wilson",), "below"),
    Claim("Other mazes' traces it does not make valid", PAPER, "grpo/effects.csv",
          "trace_valid: swapped after grpo - swapped", ("wilson",), "not above"),
    Claim("It makes plans better than as many supervised steps more", "asked here",
          "grpo/effects.csv", "plan_valid: swapped after grpo - swapped after continued",
          ("wilson",)),
    *(Claim(says, whose, "subnetwork/effects.csv", quantity, ("wilson",), claimed)
      for says, whose, quantity, claimed in (
          ("That reward leaves more than half of the weights as they were, in bfloat16",
           FEW, "unchanged in bfloat16, correct after grpo", "half"),
          ("Some of that is rounding: in float32 more weights change, by more than 5 points",
           "asked here", "unchanged: in bfloat16 - at all, correct after grpo", "more"),
          ("Training the changed weights alone plans as well as training all", FEW,
           "plan_valid: correct after grpo of the changed - correct after grpo", "not below"),
          ("And better than training as many others", "asked here", "plan_valid: correct after "
           "grpo of the changed - correct after grpo of random ones", "above"))),
    Claim("A model of correct traces reads the trace: behind its maze's own it plans better than "
          "behind another's that is as long", "asked here", "given/effects.csv",
          "plan_valid: correct given true - correct given matched", BOTH),
    Claim("So does a model of other mazes' traces", "asked here", "given/effects.csv",
          "plan_valid: swapped given true - swapped given matched", BOTH),
    Claim("Words without meaning do not serve a model of other mazes' traces: behind its maze's "
          "own it plans better than behind filler as long", "asked here", "given/effects.csv",
          "plan_valid: swapped given true - swapped given filler", BOTH),
    Claim("It needs none to answer: behind no event it plans as well as behind its maze's own",
          "ours", "given/effects.csv", "plan_valid: swapped given true - swapped given empty",
          BOTH, "not above"),
    Claim("A model of correct traces plans as well behind what a model of other mazes' traces "
          "wrote as behind its own", "asked here", "subtext/effects.csv",
          "plan_valid: correct given swapped - correct given own", BOTH, "not below"),
    Claim("A model of other mazes' traces plans as well behind what a model of correct ones wrote "
          "as behind its own", "asked here", "subtext/effects.csv",
          "plan_valid: swapped given correct - swapped given own", BOTH, "not below"),
    Claim("A model of correct traces plans as well behind those of another seed as behind its own",
          "asked here", "subtext/effects.csv",
          "plan_valid: correct given another seed - correct given own", BOTH, "not below"),
    *(Claim(f"More of the plan can be read off the stream of `{condition}` at `solution` than off "
            f"{where}, in points of AUROC", "asked here", "latents/effects.csv",
            f"plan at solution: {condition} - {name}", ("wilson",))
      for condition in THREE
      for name, where in (("prompt", "the prompt"), ("untrained", "that of an untrained model"))),
    Claim("The trace adds to what the stream of `correct` tells of the plan", "asked here",
          "latents/effects.csv", "plan: correct at solution - at reasoning", ("wilson",)),
    *(Claim(f"With all of another maze's stream at `solution`, `{condition}` plans that maze: more "
            "than half of its plans", "asked here", "latents/effects.csv",
            f"fits_other: {condition} patched - {condition}", ("wilson",), "half")
      for condition in THREE),
)
