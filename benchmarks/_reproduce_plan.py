"""The pieces of the mini reproduction, in order: what each runs, reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _reproduce_data import demonstrating, join_demos, subset
from _reproduce_pieces import TOY, TRANSFER, Piece, sized, with_types
from _reproduce_settings import (
    AblationStudy,
    DataStudy,
    EnvironmentPlan,
    Settings,
    Stage,
)

from langchain_agentrm.evaluation._block import Installed
from langchain_agentrm.evaluation.suite import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
    run_suite,
)
from langchain_agentrm.reward_models.kept import Keep
from langchain_agentrm.training._config import Progress
from langchain_agentrm.training.bc import CloneConfig, clone_policy
from langchain_agentrm.training.demos import DemosConfig, collect_demos
from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit
from langchain_agentrm.training.keep import KeepConfig, keep_part
from langchain_agentrm.training.pool import PoolConfig, build_pool
from langchain_agentrm.training.rm import RewardConfig, train_reward_model
from langchain_agentrm.training.rollouts import RolloutsConfig, extract_rollouts
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.sft import FineTuneConfig, fine_tune
from langchain_agentrm.training.trees import TreesConfig, build_trees

__all__ = ["Plan"]

_SUITE = ("episodes", "types", "groups", "split")
# What the small policies' own template writes, with marks around what is learned.
_TEMPLATE = Path(__file__).with_name("reproduce_chat.jinja")
_SHARE = 0.8  # of a budget for the steps; loading and measuring take the rest


@dataclass(frozen=True)
class Plan:
    """Makes the pieces.

    Attributes:
        settings: What to do.
        out: Output folder.
        scale: Factor on the numbers of tasks, and so of training steps.
        workers: Processes that play trees and episodes.
    """

    settings: Settings
    out: Path
    scale: float = 1.0
    workers: int = 1
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

    def _names(self, *folders: Path | str) -> tuple[str, ...]:
        """Pieces that write these folders."""
        return tuple(Path(f).relative_to(self.out).as_posix() for f in folders)

    def _given(self, stage: Stage) -> dict[str, Any]:
        return {"seed": self.settings.seed, **stage.fields(self.scale)}

    def _environment(self, env: str, plan: EnvironmentPlan) -> Iterator[Piece]:
        at = self.out / env
        here: dict[str, Any] = {"env": env}
        demos = DemosConfig(**here, **self._given(plan.demos))
        yield Piece(
            f"{env}/demos",
            plan.demos.minutes,
            lambda told: collect_demos(
                demos, at / "demos", factory=demonstrating(env), progress=told
            ),
            env,
        )
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
        if plan.robust:
            yield self._suite(
                f"runs/{env}-robust",
                plan.robust,
                env,
                "robustness",
                policies=self._small(env),
                models=self._own_rm(env),
                variants={
                    f"{env}-P{n}" if n else env: {"perturbation": str(n)}
                    for n in range(6)
                },
            )

    def _clone(self, group: str, name: str, stage: Stage, demos: Path) -> Piece:
        env: dict[str, Any] = {"env": group} if group != TRANSFER else {}
        config = CloneConfig(
            **env, cpu_minutes=stage.minutes * _SHARE, **self._given(stage)
        )
        out = self.out / name
        return Piece(
            name,
            stage.minutes,
            lambda told: clone_policy(config, demos, out, progress=told),
            group,
            "val",
            reads=self._names(demos),
        )

    def _chain(
        self,
        env: str,
        prefix: str,
        policy: Path,
        stages: Mapping[str, Stage],
        group: str = "",
    ) -> Iterator[Piece]:
        """From a policy to a reward model of one environment."""
        at = self.out / prefix
        here: dict[str, Any] = {"env": env}
        pool = PoolConfig(**here, **self._given(stages["pool"]))
        trees = TreesConfig(**here, **self._given(stages["trees"]))
        samples = SamplesConfig(**self._given(stages["samples"]))
        yield Piece(
            f"{prefix}pool",
            stages["pool"].minutes,
            lambda told: build_pool(pool, policy, at / "pool", progress=told),
            group or env,
            reads=self._names(policy),
        )
        yield Piece(
            f"{prefix}trees",
            stages["trees"].minutes,
            lambda told: build_trees(
                trees, policy, at / "trees", workers=self.workers, progress=told
            ),
            group or env,
            "any",
            reads=self._names(policy),
        )
        yield Piece(
            f"{prefix}samples",
            stages["samples"].minutes,
            lambda _: extract_samples(samples, at / "trees", at / "samples"),
            group or env,
            reads=self._names(at / "trees"),
        )
        yield self._value(
            group or env,
            f"{prefix}rm",
            stages["rm"],
            (at / "samples", at / "pool", policy),
        )

    def _value(
        self,
        group: str,
        name: str,
        stage: Stage,
        made: tuple[Path, Path, Path],
        **more: Any,
    ) -> Piece:
        config = RewardConfig(
            cpu_minutes=stage.minutes * _SHARE, **{**self._given(stage), **more}
        )
        out = self.out / name
        return Piece(
            name,
            stage.minutes,
            lambda told: train_reward_model(config, *made, out, progress=told),
            group,
            "dev",
            reads=self._names(*made),
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

    def _small(self, env: str) -> dict[str, PolicyChoice]:
        return {f"{env}-small": self._policy(f"{env}/policy", env)}

    def _own_rm(self, env: str) -> dict[str, RewardModelChoice]:
        return {f"{env}-rm": self._rm(f"{env}/rm", env)}

    def _policy(self, name: str, env: str) -> PolicyChoice:
        return PolicyChoice(model=str(self.out / name), trained_on=(env,))

    def _rm(self, name: str, env: str, **more: Any) -> RewardModelChoice:
        return RewardModelChoice(
            model=str(self.out / name),
            trained_on=(env,),
            trees_from=f"{env}-small",
            **more,
        )

    def _suite(
        self,
        name: str,
        stage: Stage,
        group: str,
        study: str,
        *,
        policies: Mapping[str, PolicyChoice],
        models: Mapping[str, RewardModelChoice],
        methods: Sequence[str] = (),
        variants: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Piece:
        given = stage.fields(self.scale)
        chosen = given.pop("methods", None) or methods or self.settings.study_methods
        asked = {key: given[key] for key in _SUITE if key in given}
        registered = self.settings.environments
        environments = tuple(
            EnvironmentChoice(
                env=label if label in registered else group,
                label=label,
                options=dict(options),
                **asked,
            )
            for label, options in (variants or {group: {}}).items()
        )
        # Made when it runs: models may not exist before.
        config = EvalConfig(
            seed=self.settings.seed,
            environments=environments,
            policies=dict(policies),
            reward_models=dict(models),
            methods=sized(chosen, self.scale),
        )
        return Piece(
            name,
            stage.minutes,
            lambda told: run_suite(
                config,
                self.out / name,
                workers=self.workers,
                block=10,
                parts=Installed(),
                progress=told,
            ),
            group,
            "any",
            study,
            self._names(
                *(policy.model for policy in policies.values()),
                *(model.model for model in models.values()),
            ),
        )


def _cut(
    samples: Path, states: int, seed: int, out: Path
) -> Callable[[Progress], Mapping[str, Any]]:
    return lambda _: subset(samples, states, seed, out)


def _blank(
    keep: Keep, samples: Path, pool: Path, out: Path
) -> Callable[[Progress], Mapping[str, Any]]:
    return lambda _: keep_part(KeepConfig(keep=keep), samples, out, pool=pool)
