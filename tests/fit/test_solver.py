import torch

from phalanx.fit.chain import chain_of, hand_length
from phalanx.fit.solver import EASIER, FIRST_DAMPING, HARDER, LONGEST, minimise, normal_equations
from phalanx.fit.state import State
from phalanx.fit.terms import InnerPrior, JointsTerm, LengthTerm, SoftLimits


def problem(model, hands, batch=4):
    """Terms, the residuals (N,) of hand b at a state of one hand, and where to start."""
    chain = chain_of(model)
    truth = hands.draw(model, batch, seed=1, spread=0.6)
    joints = model.joints(hands.pose_of(model, truth))
    start = State(truth.orientation, truth.translation + 0.02, 0.5 * truth.inner)
    mean, weight = torch.zeros(batch, 30, dtype=torch.float64), torch.full((30,), 0.5, dtype=torch.float64)
    low, high = (torch.full((30,), limit, dtype=torch.float64) for limit in (-0.2, 1.0))
    length = torch.full((batch,), 0.19, dtype=torch.float64)
    terms = [
        JointsTerm(joints, torch.full((batch, 21), 0.004, dtype=torch.float64)),
        InnerPrior(mean, weight),
        SoftLimits(low, high, torch.full_like(weight, 100.0)),
        LengthTerm(chain, length, 1e6),
    ]

    def residuals(b: int, state: State) -> torch.Tensor:
        off = (model.joints(hands.pose_of(model, state))[0] - joints[b]).flatten() / 0.004
        prior = 0.5**0.5 * (state.inner[0] - mean[b])
        limits = 10 * (state.inner[0] - state.inner[0].clamp(low, high))
        return torch.cat((off, prior, limits, 1e3 * (hand_length(chain, state.shape)[0] - length[b])))

    return chain, terms, residuals, start


def slowly(residuals, state: State, steps: int) -> tuple[State, float]:
    """Levenberg-Marquardt of one hand as textbooks have it, with autograd's Jacobian."""
    damping = FIRST_DAMPING
    cost = float(residuals(state).square().sum())
    for _ in range(steps):
        zero = torch.zeros(1, 36, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda step: residuals(state.moved(step)), zero)[:, 0]  # noqa: B023
        matrix = jacobian.T @ jacobian
        matrix = matrix + torch.diag(damping * matrix.diagonal() + 1e-6)
        step = -torch.linalg.solve(matrix, jacobian.T @ residuals(state)).clamp(-LONGEST, LONGEST)
        tried = state.moved(step[None])
        new = float(residuals(tried).square().sum())
        if new < cost:
            state, cost, damping = tried, new, damping * EASIER
        else:
            damping *= HARDER
    return state, cost


def test_it_is_the_slow_one_for_every_hand_of_a_batch(double, hands):
    chain, terms, residuals, start = problem(double, hands)
    found, cost = minimise(chain, terms, start, 5)
    for b in range(len(start.inner)):
        alone = State(*(value[b : b + 1] for value in vars(start).values()))
        wanted, least = slowly(lambda state: residuals(b, state), alone, 5)  # noqa: B023
        for name, value in vars(wanted).items():
            torch.testing.assert_close(getattr(found, name)[b : b + 1], value, atol=1e-7, rtol=1e-7)
        assert abs(float(cost[b]) - least) < 1e-6 * least


def test_the_cost_never_rises_and_is_that_of_the_state(double, hands):
    chain, terms, _, start = problem(double, hands)
    costs = [normal_equations(chain, terms, start).cost]
    for steps in range(1, 8):
        state, cost = minimise(chain, terms, start, steps)
        torch.testing.assert_close(cost, normal_equations(chain, terms, state).cost)
        costs.append(cost)
    stacked = torch.cat(costs, 1)
    assert bool((stacked[:, 1:] <= stacked[:, :-1]).all()) and bool((stacked[:, -1] < 0.1 * stacked[:, 0]).all())


def test_a_step_that_leads_nowhere_is_not_taken(double, hands):
    """A term whose cost is not a number beyond the start: hands stay where they were."""
    chain, terms, _, start = problem(double, hands)

    class Cliff:
        def add_to(self, normal, posed):
            away = (posed.state.translation - start.translation).abs().sum(1, keepdim=True)
            normal.cost += torch.where(away > 0, float("nan"), 0.0)

    state, cost = minimise(chain, [*terms, Cliff()], start, 3)
    torch.testing.assert_close(state.inner, start.inner)
    torch.testing.assert_close(cost, normal_equations(chain, terms, start).cost)


def test_numpy_and_torch_solve_alike(double, hands):
    chain, terms, _, start = problem(double, hands)
    arrays = [hands.as_numpy(term) for term in terms[:3]]
    arrays.append(LengthTerm(hands.numpy_chain(double), terms[3].length.numpy(), 1e6))
    ours, our_cost = minimise(hands.numpy_chain(double), arrays, State(*(v.numpy() for v in vars(start).values())), 4)
    theirs, their_cost = minimise(chain, terms, start, 4)
    hands.close(our_cost, their_cost, 1e-9)
    for name, value in vars(theirs).items():
        hands.close(getattr(ours, name), value, 1e-9)
