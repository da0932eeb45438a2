"""bankid"""

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bankid_evidence",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("order_ref", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("delete_after", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_bankid_evidence")),
    )
    with op.batch_alter_table("bankid_evidence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bankid_evidence_delete_after"), ["delete_after"], unique=False)
        batch_op.create_index(batch_op.f("ix_bankid_evidence_user_id"), ["user_id"], unique=False)

    op.create_table(
        "bankid_orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("interaction_uid", sa.String(length=64), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=True),
        sa.Column("started_by", sa.String(length=10), nullable=False),
        sa.Column("device", sa.String(length=10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("first_started_at", UTCDateTime(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("order_ref", sa.String(length=64), nullable=False),
        sa.Column("qr_start_token", sa.String(length=64), nullable=False),
        sa.Column("qr_start_secret", sa.String(length=64), nullable=False),
        sa.Column("autostart_token", sa.String(length=64), nullable=False),
        sa.Column("visible_data", sa.Text(), nullable=False),
        sa.Column("non_visible_data", sa.Text(), nullable=False),
        sa.Column("end_user_ip", sa.String(length=45), nullable=False),
        sa.Column("nonce_hash", sa.String(length=64), nullable=True),
        sa.Column("returned_at", UTCDateTime(), nullable=True),
        sa.Column("next_collect_at", UTCDateTime(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("hint_code", sa.String(length=60), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bankid_orders")),
    )
    with op.batch_alter_table("bankid_orders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bankid_orders_finished_at"), ["finished_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_bankid_orders_interaction_uid"), ["interaction_uid"], unique=False
        )

    op.create_table(
        "bankid_links",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("number_lookup", sa.String(length=64), nullable=False),
        sa.Column("number_encrypted", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("linked_at", UTCDateTime(), nullable=False),
        sa.Column("last_used_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_bankid_links_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_bankid_links")),
    )
    with op.batch_alter_table("bankid_links", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bankid_links_number_lookup"), ["number_lookup"], unique=False)

    with op.batch_alter_table("browser_sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reference", sa.String(length=64), nullable=True))

    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.add_column(sa.Column("method", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("reference", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("claims", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("grants", schema=None) as batch_op:
        for column in ("claims", "reference", "method"):
            batch_op.drop_column(column)

    with op.batch_alter_table("browser_sessions", schema=None) as batch_op:
        batch_op.drop_column("reference")

    with op.batch_alter_table("bankid_links", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bankid_links_number_lookup"))

    op.drop_table("bankid_links")
    with op.batch_alter_table("bankid_orders", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bankid_orders_interaction_uid"))
        batch_op.drop_index(batch_op.f("ix_bankid_orders_finished_at"))

    op.drop_table("bankid_orders")
    with op.batch_alter_table("bankid_evidence", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bankid_evidence_user_id"))
        batch_op.drop_index(batch_op.f("ix_bankid_evidence_delete_after"))

    op.drop_table("bankid_evidence")
