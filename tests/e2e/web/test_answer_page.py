"""A question that is answered from a link, by someone who is not signed in: opening it changes nothing."""

from playwright.sync_api import BrowserContext, expect
from tests.contract.client import Api, data_of
from tests.contract.test_question_links import link, status
from tests.contract.test_questions import ask

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def test_a_question_is_answered_from_a_link_by_its_form_only(context: BrowserContext, tenant: Api) -> None:
    visitor = context.new_page()
    item = ask(tenant, question=HOSTILE, payload={"amount": 9007199254740993}, answers=["refund", "keep"])
    made = link(tenant, item)
    for _ in range(2):
        visitor.goto(f"/answer#token={made['token']}")
        expect(visitor.get_by_text(HOSTILE)).to_be_visible()
        visitor.reload()
    expect(visitor.get_by_role("button", name="Answer")).to_be_disabled()
    expect(visitor.locator("main")).to_contain_text("9007199254740993")
    assert status(tenant, item) == "waiting"
    visitor.get_by_label("Keep").check()
    visitor.get_by_label("Why").fill("It was paid.")
    visitor.get_by_role("button", name="Answer").click()
    expect(visitor.locator("main").get_by_role("status")).to_contain_text("Keep")
    answer = data_of(tenant.get(f"/inbox/{item['id']}"))["answer"]
    assert (answer["answer"], answer["note"], answer["by"]) == ("keep", "It was paid.", "ada")
    visitor.reload()
    expect(visitor.get_by_role("button", name="Answer")).to_have_count(0)
    assert visitor.locator("main img").count() == 0


def test_a_sensitive_question_leads_to_the_sign_in(context: BrowserContext, tenant: Api) -> None:
    visitor = context.new_page()
    item = ask(tenant, question="Raise the limit?", sensitive=True)
    visitor.goto(f"/answer#token={link(tenant, item)['token']}")
    expect(visitor.get_by_role("heading", name="This question needs a sign-in")).to_be_visible()
    expect(visitor.get_by_text("Raise the limit?")).to_have_count(0)
    visitor.goto("/answer#token=rwa_wrong")
    expect(visitor.get_by_role("alert")).to_contain_text("wrong, has expired")
