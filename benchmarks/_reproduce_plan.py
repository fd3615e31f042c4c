"""The pieces of the mini reproduction, in order: what each runs, reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _reproduce_data import join_demos, subset
from _reproduce_make import Maker
from _reproduce_pieces import TOY, TRANSFER, Piece, with_types
from _reproduce_settings import (
    AblationStudy,
    DataStudy,
    EnvironmentPlan,
    RobustStudy,
    Stage,
)

from langchain_agentrm.evaluation.analysis import OfflineConfig, analyse_offline
from langchain_agentrm.evaluation.suite import PolicyChoice, RewardModelChoice
from langchain_agentrm.reward_models.kept import Keep
from langchain_agentrm.training._config import Progress
from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit
from langchain_agentrm.training.keep import KeepConfig, keep_part
from langchain_agentrm.training.rollouts import RolloutsConfig, extract_rollouts
from langchain_agentrm.training.sft import FineTuneConfig, fine_tune

__all__ = ["Plan"]

# What the small policies' own template writes, with marks around what is learned.
_TEMPLATE = Path(__file__).with_name("reproduce_chat.jinja")


@dataclass(frozen=True)
class Plan(Maker):
    """All of the pieces.

    Attributes:
        skipped: Environments that are left out, with the reasons.
    """

    skipped: Mapping[str, str] = field(default_factory=dict)

    def pieces(self) -> list[Piece]:
        """Every piece, in an order in which each finds what it reads."""
        out: list[Piece] = []
        for env, plan in self.settings.environments.items():
            if env not in self.skipped:
                out += self._environment(env, plan)
        transfer = self.settings.transfer
        if transfer and not {*transfer.environments} & {*self.skipped}:
            out += self._transfer()
        return out

    def _environment(self, env: str, plan: EnvironmentPlan) -> Iterator[Piece]:
        at = self.out / env
        yield self._demos(env, f"{env}/demos", plan.demos)
        yield self._clone(env, f"{env}/policy", plan.policy, at / "demos")
        yield from self._chain(
            env,
            f"{env}/",
            at / "policy",
            {n: getattr(plan, n) for n in ("pool", "trees", "samples", "rm")},
        )
        yield self._suite(
            f"runs/{env}-main",
            plan.main,
            env,
            "main",
            policies=self._small(env),
            models=self._own_rm(env),
            methods=plan.methods or self.settings.methods,
        )
        if plan.rollouts and plan.implicit and plan.kinds:
            yield from self._implicit(env, plan.rollouts, plan.implicit, plan.kinds)
        if plan.large and plan.strong:
            yield from self._strong(env, plan.large, plan.strong)
        if plan.data:
            yield from self._data(env, plan.data)
        if plan.ablation:
            yield from self._ablation(env, plan.ablation)
        if plan.offline:
            yield self._offline(env, plan.offline)
        if plan.robust:
            yield from self._robust(env, plan.robust)

    def _offline(self, env: str, stage: Stage) -> Piece:
        name, at = f"runs/{env}-offline", self.out / env
        config = OfflineConfig(
            reward_model=str(at / "rm"), name=f"{env}-rm", **self._given(stage)
        )
        return Piece(
            name,
            stage.minutes,
            lambda told: analyse_offline(
                config, at / "samples" / "val.jsonl", self.out / name, progress=told
            ),
            env,
            study="offline",
            reads=self._names(at / "rm", at / "samples"),
        )

    def _robust(self, env: str, study: RobustStudy) -> Iterator[Piece]:
        """A policy of every grammar; the reward model has seen the usual one alone."""
        at = self.out / env
        sources = [at / "demos"]
        for number in study.grammars:
            name = f"{env}/demos-P{number}"
            yield self._demos(env, name, study.demos, perturbation=str(number))
            sources.append(self.out / name)
        joined = at / "demos-all"
        yield Piece(
            f"{env}/demos-all",
            0.1,
            lambda _: join_demos(sources, joined),
            env,
            reads=self._names(*sources),
        )
        yield self._clone(env, f"{env}/all-grammars", study.policy, joined)
        yield self._suite(
            f"runs/{env}-robust",
            study,
            env,
            "robustness",
            policies={f"{env}-all-grammars": self._policy(f"{env}/all-grammars", env)},
            models=self._own_rm(env),
            variants={
                f"{env}-P{n}" if n else env: {"perturbation": str(n)}
                for n in (0, *study.grammars)
            },
        )

    def _implicit(
        self, env: str, rollouts: Stage, implicit: Stage, kinds: Stage
    ) -> Iterator[Piece]:
        at = self.out / env
        drawn = RolloutsConfig(**self._given(rollouts))
        config = ImplicitConfig(**self._given(implicit))
        yield Piece(
            f"{env}/rollouts",
            rollouts.minutes,
            lambda _: extract_rollouts(drawn, at / "trees", at / "rollouts"),
            env,
            reads=self._names(at / "trees"),
        )
        yield Piece(
            f"{env}/implicit",
            implicit.minutes,
            lambda told: train_implicit(
                config, at / "rollouts", at / "policy", at / "implicit", progress=told
            ),
            env,
            reads=self._names(at / "rollouts", at / "policy"),
        )
        yield self._suite(
            f"runs/{env}-kinds",
            kinds,
            env,
            "kinds",
            policies=self._small(env),
            models={
                f"{env}-implicit": self._rm(f"{env}/implicit", env, kind="implicit")
            },
            # The explicit one is in the main run; an episode may not be there twice.
            methods=("best-of-5",),
        )

    def _strong(self, env: str, large: Stage, strong: Stage) -> Iterator[Piece]:
        yield self._clone(env, f"{env}/large", large, self.out / env / "demos")
        yield self._suite(
            f"runs/{env}-strong",
            strong,
            env,
            "weak-to-strong",
            policies={
                **self._small(env),
                f"{env}-large": self._policy(f"{env}/large", env),
            },
            models=self._own_rm(env),
        )

    def _data(self, env: str, study: DataStudy) -> Iterator[Piece]:
        at = self.out / env
        models = {}
        for place, size in enumerate(study.sizes):
            # At toy scale there may be fewer states than the file asks for.
            toy = self.scale < TOY
            states = 16 * 2**place if toy else round(size * self.scale)
            for seed in study.seeds:
                name = f"{env}/states-{states}-s{seed}"
                cut = _cut(at / "samples", states, seed, self.out / f"{name}-samples")
                yield Piece(
                    f"{name}-samples", 0.1, cut, env, reads=self._names(at / "samples")
                )
                yield self._value(
                    env,
                    name,
                    Stage(minutes=study.each),
                    (self.out / f"{name}-samples", at / "pool", at / "policy"),
                    seed=seed,
                )
                models[f"{env}-states-{states}-s{seed}"] = self._rm(
                    name, env, states=states
                )
        yield self._suite(
            f"runs/{env}-data",
            study,
            env,
            "data",
            policies=self._small(env),
            models=models,
        )

    def _ablation(self, env: str, study: AblationStudy) -> Iterator[Piece]:
        at = self.out / env
        models = {}
        for keep in study.keep:
            name = f"{env}/keep-{keep}"
            data = self.out / f"{name}-samples"
            if keep != "all":
                blank = _blank(keep, at / "samples", at / "pool", data)
                read = self._names(at / "samples", at / "pool")
                yield Piece(f"{name}-samples", 0.1, blank, env, reads=read)
            else:
                data = at / "samples"
            # `all` is trained anew: the others get as many minutes as it does.
            pool = at / "pool" if keep == "all" else data
            made = (data, pool, at / "policy")
            yield self._value(env, name, Stage(minutes=study.each), made)
            models[f"{env}-keep-{keep}"] = self._rm(name, env, keep=keep)
        yield self._suite(
            f"runs/{env}-ablation",
            study,
            env,
            "ablation",
            policies=self._small(env),
            models=models,
        )

    def _transfer(self) -> Iterator[Piece]:
        plan = self.settings.transfer
        assert plan is not None
        at = self.out / TRANSFER
        sources = [self.out / env / "demos" for env in plan.environments]
        yield Piece(
            f"{TRANSFER}/demos",
            0.1,
            lambda _: join_demos(sources, at / "demos"),
            TRANSFER,
            reads=self._names(*sources),
        )
        yield self._clone(TRANSFER, f"{TRANSFER}/base", plan.base, at / "demos")
        stages = {n: getattr(plan, n) for n in ("pool", "trees", "samples", "rm")}
        for env in plan.environments:
            own = self.settings.environments[env]
            chain = {**stages, **plan.own.get(env, {})}
            # The same task types as in the environment's own chain.
            chain["pool"] = with_types(chain["pool"], own.pool)
            chain["trees"] = with_types(chain["trees"], own.trees)
            prefix = f"{TRANSFER}/{env}/"
            yield from self._chain(env, prefix, at / "base", chain, TRANSFER)
            yield from self._tuned(env)
        base = {"base": PolicyChoice(model=str(at / "base"))}
        yield self._suite(
            f"runs/{TRANSFER}-guided",
            plan.guided,
            TRANSFER,
            TRANSFER,
            policies=base,
            models={
                f"rm-{env}": RewardModelChoice(
                    model=str(at / env / "rm"), trained_on=(env,), trees_from="base"
                )
                for env in plan.environments
            },
            variants={env: {} for env in plan.environments},
        )
        yield self._suite(
            f"runs/{TRANSFER}-tuned",
            plan.tuned,
            TRANSFER,
            TRANSFER,
            policies={
                f"tuned-{env}": PolicyChoice(
                    model=str(at / env / "tuned"), trained_on=(env,)
                )
                for env in plan.environments
            },
            models={},
            variants={env: {} for env in plan.environments},
        )

    def _tuned(self, env: str) -> Iterator[Piece]:
        plan = self.settings.transfer
        assert plan is not None
        at = self.out / TRANSFER
        rows, tuned = at / env / "dialogues", at / env / "tuned"
        demos = self.out / env / "demos"
        dialogues = DialoguesConfig(env=env, **self._given(plan.dialogues))
        config = FineTuneConfig(
            base=str(at / "base"),
            template=str(_TEMPLATE),
            gradient_checkpointing=False,
            precision="float32",
            **self._given(plan.tune),
        )
        yield Piece(
            f"{TRANSFER}/{env}/dialogues",
            plan.dialogues.minutes,
            lambda _: convert_dialogues(dialogues, [demos], rows),
            TRANSFER,
            reads=self._names(demos),
        )
        yield Piece(
            f"{TRANSFER}/{env}/tuned",
            plan.tune.minutes,
            lambda told: fine_tune(config, rows, tuned, progress=told),
            TRANSFER,
            reads=self._names(rows, at / "base"),
        )


def _cut(
    samples: Path, states: int, seed: int, out: Path
) -> Callable[[Progress], Mapping[str, Any]]:
    return lambda _: subset(samples, states, seed, out)


def _blank(
    keep: Keep, samples: Path, pool: Path, out: Path
) -> Callable[[Progress], Mapping[str, Any]]:
    return lambda _: keep_part(KeepConfig(keep=keep), samples, out, pool=pool)
