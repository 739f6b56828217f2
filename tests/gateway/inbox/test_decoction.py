"""The inbox of a place that decocts: a button for each step, special ways named, and a label without the name."""

from pathlib import Path

from fastapi.testclient import TestClient

from domain.shops import Act
from gateway.app import create_app
from tests.support.city import make_settings
from tests.support.decoction import CENTRE, Town

TOKEN = "token-of-the-centre"


def test_a_button_for_each_step_and_a_label_with_doses_and_date(tmp_path: Path) -> None:
    town = Town(tmp_path)
    rx_id = town.admit(decocted=True)
    settings = make_settings(tmp_path, shops={"S004": {"token": TOKEN, "place": CENTRE}})
    client = TestClient(create_app(town.city, settings), headers={"Authorization": f"Bearer {TOKEN}"})
    town.do(rx_id, Act.ACCEPT)
    soak = client.get(f"/inbox/{rx_id}/1?lang=zh").text
    for act in ("soak", "decoct", "pack_liquid", "cool"):
        assert client.post(f"/api/inbox/orders/{rx_id}/1/{act}", content="{}").status_code == 200

    label = client.get(f"/inbox/{rx_id}/1/label?lang=zh").text
    facts = client.get(f"/api/inbox/orders/{rx_id}/1").json()

    assert "浸泡完成" in soak
    assert "煎煮完成" not in soak
    assert facts["decoction_step"] == "cooled"
    assert "代煎药液 7 剂" in label
    assert "示范患者甲" not in label
